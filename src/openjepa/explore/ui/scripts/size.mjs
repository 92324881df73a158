// Prints what each chunk weighs gzipped, and fails when the JavaScript outgrows its budget.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 150;
const folder = join(import.meta.dirname, "../../static/assets");
const rows = readdirSync(folder)
  .map((name) => ({ name, kb: gzipSync(readFileSync(join(folder, name)), { level: 9 }).length / 1000 }))
  .sort((a, b) => b.kb - a.kb);
for (const { name, kb } of rows) console.log(`${kb.toFixed(1).padStart(7)} kB gz  ${name}`);
const total = rows.filter((row) => row.name.endsWith(".js")).reduce((sum, row) => sum + row.kb, 0);
console.log(`${total.toFixed(1).padStart(7)} kB gz  JavaScript in all (budget ${BUDGET_KB})`);
if (total > BUDGET_KB) process.exit(1);
