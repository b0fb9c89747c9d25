import { globSync, readFileSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import { parseSync } from '@swc/core';
import { LAYERS } from './layers.ts';

const ROOT = resolve(__dirname, '../..');

/** Text of each source file by its path below the checkout. */
export type Sources = ReadonlyMap<string, string>;

export interface Import {
  readonly from: string;
  /** A path below the checkout, or the name of a package. */
  readonly to: string;
  readonly isPackage: boolean;
}

export function readSources(): Sources {
  const folders = Object.keys(LAYERS).join(',');
  const paths = globSync(`{${folders}}/**/*.{ts,mjs,js}`, { cwd: ROOT });
  return new Map(paths.sort().map((path) => [path, readFileSync(resolve(ROOT, path), 'utf8')]));
}

/** What a file imports, types included, by `import`, `export … from`, `import()` and `import('…')` within a type. */
export function importsOf(from: string, text: string): readonly Import[] {
  const found: string[] = [];
  collect(parseSync(text, { syntax: 'typescript', target: 'es2024' }).body, found);
  return found.map((name) =>
    name.startsWith('.')
      ? { from, to: posix.join(posix.dirname(from), name), isPackage: false }
      : { from, to: packageOf(name), isPackage: true },
  );
}

/** Why each import is refused, one sentence each; empty where all are allowed. */
export function refusals(imports: readonly Import[]): readonly string[] {
  return imports
    .filter((one) => !isAllowed(one))
    .map(({ from, to }) => `${from} imports ${to}, which ${layerOf(from)}/ may not`);
}

/** Files that import each other, directly or by way of others; each circle once. */
export function circles(imports: readonly Import[]): readonly (readonly string[])[] {
  const next = new Map<string, string[]>();
  for (const { from, to, isPackage } of imports) {
    if (!isPackage) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const found: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) found.push([...path.slice(start), file]);
    if (start >= 0 || done.has(file)) return;
    path.push(file);
    for (const to of next.get(file) ?? []) visit(to);
    path.pop();
    done.add(file);
  };
  for (const file of next.keys()) visit(file);
  return found;
}

function isAllowed({ from, to, isPackage }: Import): boolean {
  const layer = layerOf(from);
  const { imports, packages } = LAYERS[layer] ?? { imports: [], packages: [] };
  if (isPackage) return packages.includes(to);
  return [layer, ...imports].some((place) => to === place || to.startsWith(`${place}/`));
}

function layerOf(path: string): string {
  return path.split('/', 1).join('');
}

function packageOf(name: string): string {
  if (name.startsWith('node:')) return 'node:*';
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/');
}

const WITH_SOURCE = ['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration'];

/** The names of modules in a syntax tree, whatever kind of node they stand in. */
function collect(node: unknown, found: string[]): void {
  if (Array.isArray(node)) {
    for (const one of node) collect(one, found);
    return;
  }
  if (!isNode(node)) return;
  if (WITH_SOURCE.includes(node.type)) addName(node.source, found);
  if (node.type === 'TsImportType') addName(node.argument, found);
  if (node.type === 'CallExpression' && isNode(node.callee) && node.callee.type === 'Import') {
    const [argument] = Array.isArray(node.arguments) ? node.arguments : [];
    addName(argument?.expression, found);
  }
  for (const inner of Object.values(node)) collect(inner, found);
}

function addName(node: unknown, found: string[]): void {
  if (isNode(node) && node.type === 'StringLiteral' && typeof node.value === 'string') found.push(node.value);
}

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** Nodes without a type (a call's arguments) are passed through as nodes of no kind. */
function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}
