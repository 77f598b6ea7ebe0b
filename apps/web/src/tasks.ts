/** What can be asked. */
export type TaskName = "caption" | "question" | "detect" | "segment" | "ocr";

/** A task as the page shows it. */
export interface Task {
  readonly name: TaskName;
  readonly title: string;
  /** The text field's label; absent where the task needs none. */
  readonly label?: string;
  readonly placeholder?: string;
  /** What to type when nothing was typed yet, for the embedded model. */
  readonly suggestions: readonly string[];
}

/** All tasks, in the order of the page. */
export const TASKS: readonly Task[] = [
  { name: "caption", title: "Caption", suggestions: [] },
  {
    name: "question",
    title: "Question",
    label: "Your question",
    placeholder: "how many shapes are there?",
    suggestions: ["how many shapes are there?", "is there a star?", "what color is the circle?"],
  },
  {
    name: "detect",
    title: "Detect",
    label: "What to find, separated by ;",
    placeholder: "circle ; star",
    suggestions: ["circle ; square ; triangle ; star", "star", "circle"],
  },
  {
    name: "segment",
    title: "Segment",
    label: "What to cut out, separated by ;",
    placeholder: "star",
    suggestions: ["star", "circle", "square"],
  },
  { name: "ocr", title: "Read text", suggestions: [] },
];

/** The task of a name. */
export function taskOf(name: TaskName): Task {
  return TASKS.find((task) => task.name === name)!;
}

/** "circle;star ; " → ["circle", "star"] */
export function labelsOf(text: string): readonly string[] {
  return text
    .split(";")
    .map((label) => label.trim())
    .filter((label) => label !== "");
}

/** The prompt of PaliGemma for a task; throws nothing, an empty text gives an empty prompt. */
export function promptOf(task: TaskName, text: string): string {
  switch (task) {
    case "caption":
      return "caption en";
    case "ocr":
      return "ocr";
    case "question":
      return text.trim() === "" ? "" : `answer en ${text.trim()}`;
    case "detect":
    case "segment": {
      const labels = labelsOf(text);
      return labels.length === 0 ? "" : `${task} ${labels.join(" ; ")}`;
    }
  }
}
