import { PaliGemmaError } from "@paligemma/core";

/**
 * RGBA bytes of a bitmap, not premultiplied. A 2D canvas stores premultiplied colours and loses bits where alpha is
 * low; a WebGL texture read through a framebuffer does not.
 */
export async function readPixels(bitmap: ImageBitmap): Promise<Uint8Array> {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (gl === null) {
    throw new PaliGemmaError(
      "processor/decode",
      "reading exact pixels needs WebGL 2, which this browser does not offer here; pass raw pixels instead",
    );
  }
  try {
    const edge = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    const rgba = new Uint8Array(width * height * 4);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
    gl.pixelStorei(gl.PACK_ROW_LENGTH, width);
    for (let top = 0; top < height; top += edge) {
      for (let left = 0; left < width; left += edge) {
        const tileWidth = Math.min(edge, width - left);
        const tileHeight = Math.min(edge, height - top);
        const whole = tileWidth === width && tileHeight === height;
        const tile = whole
          ? bitmap
          : await createImageBitmap(bitmap, left, top, tileWidth, tileHeight, {
              premultiplyAlpha: "none",
              colorSpaceConversion: "none",
            });
        const texture = gl.createTexture();
        gl.bindTexture(gl.TEXTURE_2D, texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, tile);
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
        gl.readPixels(0, 0, tileWidth, tileHeight, gl.RGBA, gl.UNSIGNED_BYTE, rgba, (top * width + left) * 4);
        gl.deleteTexture(texture);
        if (!whole) tile.close();
      }
    }
    const error = gl.getError();
    if (error !== gl.NO_ERROR)
      throw new PaliGemmaError(
        "processor/decode",
        `WebGL reports the error ${error} while reading ${width} × ${height} pixels; the picture may be too large for the graphics memory`,
      );
    return rgba;
  } finally {
    gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
