/** CMYK bytes [pixels, 4] as RGB bytes [pixels, 3] by Pillow's formula (`cmyk2rgb` of Convert.c), without colour management. */
export function cmykToRgb(data: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    const white = 255 - data[from + 3]!;
    for (let channel = 0; channel < 3; channel++) {
      // x·y/255 rounded, as Pillow's MULDIV255.
      const product = data[from + channel]! * white + 128;
      rgb[to + channel] = Math.max(0, white - (((product >> 8) + product) >> 8));
    }
  }
  return rgb;
}
