import { element, make } from "../ui/elements.ts";
import { takePicture } from "./camera.ts";

/** A picture that came in. */
export interface Incoming {
  readonly blob: Blob;
  readonly name: string;
}

const SAMPLES = [
  { file: "samples/1.png", title: "Sample 1" },
  { file: "samples/2.png", title: "Sample 2" },
  { file: "samples/3.png", title: "Sample 3" },
  { file: "samples/4.png", title: "Sample 4" },
] as const;

/** Every way for a picture to come in: dropped, pasted, chosen, photographed, or one of the samples. */
export function setUpIntake(onPicture: (picture: Incoming) => void, onRefused: (why: string) => void): void {
  const take = (file: File | null | undefined): void => {
    if (!file) return;
    if (file.type.startsWith("image/")) onPicture({ blob: file, name: file.name || "Pasted picture" });
    else onRefused(`${file.name || "That"} is no picture.`);
  };

  const input = element("file", HTMLInputElement);
  input.addEventListener("change", () => {
    take(input.files?.[0]);
    input.value = "";
  });
  for (const id of ["choose", "replace"]) element(id, HTMLButtonElement).addEventListener("click", () => input.click());

  document.addEventListener("paste", ({ clipboardData }) => {
    const [file] = [...(clipboardData?.files ?? [])];
    if (file) take(file);
  });

  setUpDrop(take);

  element("camera", HTMLButtonElement).addEventListener("click", () => {
    void takePicture(onRefused).then((blob) => blob && onPicture({ blob, name: "Photo" }));
  });

  const list = element("samples", HTMLElement);
  for (const { file, title } of SAMPLES) {
    const button = make(
      "button",
      { type: "button" },
      make("img", { src: file, alt: title, loading: "lazy", width: 112, height: 84 }),
    );
    button.addEventListener("click", () => {
      void fetch(file)
        .then((response) => response.blob())
        .then((blob) => onPicture({ blob, name: title }))
        .catch(() => onRefused(`${title} did not arrive. Check the connection.`));
    });
    list.append(make("li", {}, button));
  }
}

/** Pictures dropped anywhere on the page come in; the place for them shows it. */
function setUpDrop(take: (file: File | undefined) => void): void {
  const stage = document.querySelector(".stage")!;
  let depth = 0;
  const over = (on: boolean): void => void stage.classList.toggle("over", on);
  document.addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    depth++;
    over(true);
  });
  document.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) over(false);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    take([...(event.dataTransfer?.files ?? [])][0]);
  });
}
