// Bundles the demo page into dist/demo/.
import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  entryPoints: [here("demo/demo.ts")],
  outfile: here("dist/demo/demo.js"),
  absWorkingDir: here("."),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  sourcemap: true,
  logLevel: "warning",
});
for (const file of ["index.html", "demo.css"]) cpSync(here(`demo/${file}`), here(`dist/demo/${file}`));
