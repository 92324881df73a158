// Shortcuts of the page and of the panel on screen; the sheet behind `?` lists them.
export type Shortcut = { keys: string; does: string; run: (event: KeyboardEvent) => void };

const groups = new Map<string, Shortcut[]>();

/** Adds a group of shortcuts; the function returned takes it away again (return it from $effect or onMount). */
export function shortcuts(group: string, entries: Shortcut[]): () => void {
  groups.set(group, entries);
  return () => groups.delete(group);
}

export const listed = (): [string, Shortcut[]][] => [...groups];

const written = (event: KeyboardEvent): string => {
  const key = event.key === " " ? "Space" : event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && event.key.length > 1 ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift}${key}`;
};

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) || (target instanceof HTMLInputElement && !/^(range|checkbox|radio|button|file)$/.test(target.type)));

/** Keys that the element itself answers to: Space presses buttons, arrows move sliders and choices. */
const own = (event: KeyboardEvent): boolean => {
  if (!(event.target instanceof HTMLElement)) return false;
  if (event.key === " ") return event.target.closest("button, summary, input, label") !== null;
  return /^(Arrow|Home$|End$|Page)/.test(event.key) && event.target instanceof HTMLInputElement && /^(range|radio)$/.test(event.target.type);
};

/** Runs the shortcut of this key press, if there is one; `letters` off leaves single characters to the browser (WCAG 2.1.4). */
export function pressed(event: KeyboardEvent, letters: boolean): void {
  // an open dialog has the keyboard for itself: Escape must close it
  if (event.defaultPrevented || typing(event.target) || own(event) || document.querySelector("dialog[open]")) return;
  const name = written(event);
  if (!letters && name.length === 1) return;
  for (const entries of groups.values()) {
    const found = entries.find((entry) => entry.keys.split(" ").includes(name));
    if (!found) continue;
    event.preventDefault();
    return found.run(event);
  }
}
