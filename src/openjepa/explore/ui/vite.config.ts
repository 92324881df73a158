import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// `npm run dev` beside a running `openjepa explore --no-browser --port 8642`
const server = process.env.OPENJEPA_EXPLORE ?? "http://127.0.0.1:8642";

export default defineConfig({
  // relative, so that the page also works below the prefix of a proxy and as a static export
  base: "./",
  plugins: [svelte()],
  build: { outDir: "../static", emptyOutDir: true, target: "es2022", modulePreload: { polyfill: false } },
  server: { proxy: { "/api": server } },
  test: { include: ["src/**/*.test.ts"] },
});
