// What the browser keeps between visits, where it is allowed to keep anything.
export const stored = (key: string): string | null => {
  try {
    return localStorage.getItem(`openjepa.${key}`);
  } catch {
    return null; // storage can be switched off
  }
};
export const store = (key: string, value: string): void => {
  try {
    localStorage.setItem(`openjepa.${key}`, value);
  } catch {
    /* then it lasts as long as the page */
  }
};
