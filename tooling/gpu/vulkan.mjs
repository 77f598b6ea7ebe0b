import { existsSync } from "node:fs";

const DRIVERS = [
  "/usr/share/vulkan/icd.d/lvp_icd.json",
  "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
  "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json",
  "/etc/vulkan/icd.d/lvp_icd.json",
];

/** The description of a Vulkan driver: the one that VULKAN_DRIVER names, else Mesa's software driver, else undefined. */
export function findVulkan() {
  const named = process.env.VULKAN_DRIVER;
  return named ? (existsSync(named) ? named : undefined) : DRIVERS.find((path) => existsSync(path));
}
