// Bundles the demo page into dist/demo/. Without a demo/ folder there is nothing to do, so the library builds alone.
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

if (existsSync(here("demo/demo.ts"))) {
  mkdirSync(here("dist/demo"), { recursive: true });
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
  for (const page of ["index.html", "demo.css"]) {
    if (existsSync(here(`demo/${page}`))) cpSync(here(`demo/${page}`), here(`dist/demo/${page}`));
  }
}
