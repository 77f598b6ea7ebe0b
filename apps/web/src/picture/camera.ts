import { element } from "../ui/elements.ts";
import { shout } from "../ui/speak.ts";

/** Opens the camera in a dialog; resolves with a picture, or undefined where the person closed it or there is no camera. */
export async function takePicture(onRefused: (why: string) => void): Promise<Blob | undefined> {
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 1280 } },
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const why =
      name === "NotAllowedError"
        ? "The camera was not allowed. Allow it in the browser's address bar, or choose a picture."
        : "No camera was found. Choose a picture instead.";
    onRefused(why);
    shout(why);
    return undefined;
  }
  const dialog = element("camera-dialog", HTMLDialogElement);
  const video = element("camera-video", HTMLVideoElement);
  video.srcObject = stream;
  dialog.showModal();
  await video.play();
  try {
    return await new Promise<Blob | undefined>((resolve) => {
      const over = new AbortController();
      const end = (picture: Promise<Blob> | undefined): void => {
        over.abort();
        resolve(picture);
      };
      const once = { signal: over.signal };
      element("camera-take", HTMLButtonElement).addEventListener("click", () => end(snapshot(video)), once);
      element("camera-close", HTMLButtonElement).addEventListener("click", () => end(undefined), once);
      dialog.addEventListener("cancel", () => end(undefined), once);
    });
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    dialog.close();
  }
}

async function snapshot(video: HTMLVideoElement): Promise<Blob> {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d")!.drawImage(video, 0, 0);
  return await canvas.convertToBlob({ type: "image/png" });
}
