// Bundles src/ into ../assets: report.js, report.css, and the licenses of what is in them.
// `node build.js OUT` writes into another folder; the same sources and locked packages give the same bytes.
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../assets");
mkdirSync(out, { recursive: true });

await build({
  absWorkingDir: here,
  entryPoints: { report: "src/main.js" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2020", "chrome90", "firefox90", "safari15"],
  charset: "ascii",
  legalComments: "none",
  logLevel: "warning",
});

const packages = { ogl: "README.md" };
const texts = Object.entries(packages).map(([name, file]) => {
  const { version, license } = JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8"));
  const text = readFileSync(join(here, "node_modules", name, file), "utf8");
  const part = file === "README.md" ? text.slice(text.indexOf("## Unlicense")) : text; // ogl keeps it there
  return `${name} ${version} (${license})\n\n${part.trim()}\n`;
});
const head = "report.js contains parts of these packages.\n";
writeFileSync(join(out, "LICENSES.txt"), [head, ...texts].join("\n----\n\n"));
