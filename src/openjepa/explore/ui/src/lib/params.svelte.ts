import { app } from "./app.svelte";
import type { Schema, Values } from "./route";

/**
 * The panel's values in the address: read a field to use it (reactive), assign to write it.
 *
 *     const at = useParams({ ratio: num(0.75, 0, 0.95), targets: boxes() });
 *     at.ratio = 0.5;
 *
 * Call it while a component is set up. What cannot be read in the address falls back to its default.
 */
export function useParams<S extends Schema>(schema: S): Values<S> {
  const fields = {} as Values<S>;
  for (const [key, codec] of Object.entries(schema)) {
    const written = $derived(app.params[key]);
    const value = $derived(written === undefined ? codec.default : (codec.parse(written) ?? codec.default));
    if (app.params[key] !== undefined && codec.parse(app.params[key]) === null) app.say(`“${key}=${app.params[key]}” in the address cannot be read; its default is used`);
    const initial = codec.format(codec.default);
    Object.defineProperty(fields, key, {
      enumerable: true,
      get: () => value,
      set: (next: unknown) => {
        const text = codec.format(next);
        app.set({ [key]: text === initial ? null : text });
      },
    });
  }
  return fields;
}
