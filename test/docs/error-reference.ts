import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from '@swc/core';

/** `npm run docs:errors` writes it, and `errors.test.ts` holds it against the code. */
export const ERROR_PAGE = fileURLToPath(new URL('../../docs/errors.md', import.meta.url));

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PRODUCT = [
  'activities',
  'receivers',
  'cli',
  'compiler',
  'engines',
  'library',
  'model',
  'parts',
  'planning',
  'repository',
  'worker',
  'workflows',
];
const CODE = /^[A-Z][A-Z0-9_]{3,}$/;
/** Functions of model/errors.ts by whether what they make may pass by itself. */
const PASSES: Readonly<Record<string, Passes>> = {
  permanent: 'no',
  transient: 'yes',
  doubtful: 'three tries',
};

/** A prefix with fewer codes than this stands under `OTHERS`. */
const OWN_SECTION = 4;
const OTHERS = 'Others';

type Passes = 'no' | 'yes' | 'three tries' | '';

/** One place in the code that makes an error. */
interface Made {
  readonly code: string;
  readonly passes: Passes;
  /** What it says, with `…` for what is put in at run time. */
  readonly message: string;
  readonly remedy: string;
}

/** What swc's tree is made of, as far as a walk needs it. */
type Node = { readonly type: string } & Readonly<Record<string, unknown>>;

/** The page of every error code that the product's source makes, each with what it says and its remedies. */
export async function renderErrorReference(): Promise<string> {
  const files = (await Promise.all(PRODUCT.map((folder) => sourcesIn(join(ROOT, folder))))).flat().sort();
  const trees = await Promise.all(
    files.map(async (file): Promise<Node> => {
      const module = await parse(await readFile(file, 'utf8'), { syntax: 'typescript', target: 'es2024' });
      return { type: 'Module', body: module.body };
    }),
  );
  const everywhere = new Map<string, string>(trees.flatMap((tree) => [...constantsIn(tree)]));
  const made = trees.flatMap((tree) => {
    // Two files may call different codes by one name: a file's own comes first.
    const constants = new Map([...everywhere, ...constantsIn(tree)]);
    return [...walk(tree)].flatMap((node) => madeBy(node, constants));
  });
  return renderPage(byCode(made));
}

async function sourcesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(process.cwd(), join(entry.parentPath, entry.name)));
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function* walk(value: unknown): Generator<Node> {
  if (Array.isArray(value)) for (const each of value) yield* walk(each);
  else if (typeof value === 'object' && value !== null) {
    if (isNode(value)) yield value;
    for (const each of Object.values(value)) yield* walk(each);
  }
}

function constantsIn(tree: Node): ReadonlyMap<string, string> {
  const constants = new Map<string, string>();
  for (const node of walk(tree)) gatherConstants(node, constants);
  return constants;
}

/** `const NAME = 'CODE'`, and `const NAME = { key: 'CODE' }` as `NAME.key`. */
function gatherConstants(node: Node, constants: Map<string, string>): void {
  if (node.type !== 'VariableDeclarator' || !isNode(node.id) || !isNode(node.init)) return;
  const name = node.id.value;
  if (typeof name !== 'string') return;
  const value = bare(node.init);
  if (value.type === 'StringLiteral' && CODE.test(String(value.value)))
    constants.set(name, String(value.value));
  if (value.type !== 'ObjectExpression') return;
  for (const [key, of] of propertiesOf(value)) {
    if (of.type === 'StringLiteral' && CODE.test(String(of.value)))
      constants.set(`${name}.${key}`, String(of.value));
  }
}

/** Without `as const` and parentheses. */
function bare(node: Node): Node {
  const inside = node.expression;
  return /^Ts(As|Const|Satisfies)|^Parenthesis/.test(node.type) && isNode(inside) ? bare(inside) : node;
}

function propertiesOf(object: Node): ReadonlyMap<string, Node> {
  const found = new Map<string, Node>();
  for (const property of Array.isArray(object.properties) ? object.properties : []) {
    if (!isNode(property) || property.type !== 'KeyValueProperty') continue;
    if (isNode(property.key) && typeof property.key.value === 'string' && isNode(property.value))
      found.set(property.key.value, bare(property.value));
  }
  return found;
}

/** A call that is given a code, a message and a remedy, in that order; or an object with a code and a remedy. */
function madeBy(node: Node, constants: ReadonlyMap<string, string>): readonly Made[] {
  if (node.type === 'ObjectExpression') {
    const fields = propertiesOf(node);
    const code = codeOf(fields.get('code'), constants);
    const remedy = textOf(fields.get('remedy'));
    if (code === undefined || remedy === undefined) return [];
    const message = textOf(fields.get('message') ?? fields.get('problem')) ?? '';
    const transient = fields.get('transient');
    const passes = transient?.type === 'BooleanLiteral' ? (transient.value === true ? 'yes' : 'no') : '';
    return [{ code, passes, message, remedy }];
  }
  if (node.type !== 'CallExpression' && node.type !== 'NewExpression') return [];
  const given = argumentsOf(node);
  const at = given.findIndex((one) => codeOf(one, constants) !== undefined);
  const code = codeOf(given[at], constants);
  const message = textOf(given[at + 1]);
  const last = given[at + 2];
  const remedy = textOf(last?.type === 'ObjectExpression' ? propertiesOf(last).get('remedy') : last);
  if (code === undefined || message === undefined || remedy === undefined) return [];
  const callee = isNode(node.callee) ? node.callee.value : undefined;
  return [{ code, passes: (typeof callee === 'string' && PASSES[callee]) || '', message, remedy }];
}

function argumentsOf(call: Node): readonly Node[] {
  const given: readonly unknown[] = Array.isArray(call.arguments) ? call.arguments : [];
  return given.flatMap((one) =>
    typeof one === 'object' && one !== null && 'expression' in one && isNode(one.expression)
      ? [bare(one.expression)]
      : [],
  );
}

function codeOf(node: Node | undefined, constants: ReadonlyMap<string, string>): string | undefined {
  if (node?.type === 'StringLiteral' && CODE.test(String(node.value))) return String(node.value);
  if (node?.type === 'Identifier') return constants.get(String(node.value));
  if (node?.type === 'MemberExpression' && isNode(node.object) && isNode(node.property))
    return constants.get(`${node.object.value}.${node.property.value}`);
  return undefined;
}

/** What is written in the code, with `…` for each part that is known at run time alone; undefined for what is no text. */
function textOf(node: Node | undefined): string | undefined {
  switch (node?.type) {
    case 'StringLiteral':
      return String(node.value);
    case 'TemplateLiteral':
      return (Array.isArray(node.quasis) ? node.quasis : [])
        .map((quasi: { readonly cooked?: string }) => quasi.cooked ?? '')
        .join('…');
    case 'BinaryExpression':
      return isNode(node.left) && isNode(node.right)
        ? `${textOf(bare(node.left)) ?? '…'}${textOf(bare(node.right)) ?? '…'}`
        : undefined;
    case 'ConditionalExpression':
      return isNode(node.consequent) && isNode(node.alternate)
        ? [textOf(bare(node.consequent)), textOf(bare(node.alternate))]
            .filter((text) => text !== undefined && text !== '…')
            .join(' Or: ')
        : undefined;
    case 'Identifier':
    case 'MemberExpression':
    case 'CallExpression':
      return '…';
    default:
      return undefined;
  }
}

function byCode(made: readonly Made[]): ReadonlyMap<string, readonly Made[]> {
  const grouped = Map.groupBy(made, ({ code }) => code);
  return new Map([...grouped].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function renderPage(codes: ReadonlyMap<string, readonly Made[]>): string {
  const prefixOf = (code: string): string => code.split('_')[0] ?? '';
  const sizes = Map.groupBy(codes.keys(), prefixOf);
  const sections = Map.groupBy(codes, ([code]) => {
    const prefix = prefixOf(code);
    return (sizes.get(prefix)?.length ?? 0) < OWN_SECTION ? OTHERS : prefix;
  });
  return `# Error codes

[All pages](README.md)

Made from the source by \`node test/docs/error-reference.ts\`. Each error has a code, which stays (\`error.code\` in JSON, the failure's type in the Temporal UI),
a message and a remedy. \`…\` stands for what is put in when it happens. **Passes**: an activity that meets it is tried again by its retry policy (\`yes\`),
three times with the same message and no longer (\`three tries\`), or not at all (\`no\`); empty where the place that makes it decides. Exit codes are in
[scripting.md](scripting.md).
${[...sections]
  .sort(([a], [b]) => Number(a === OTHERS) - Number(b === OTHERS))
  .map(([prefix, members]) => renderSection(prefix, members))
  .join('')}`;
}

function renderSection(prefix: string, members: readonly (readonly [string, readonly Made[]])[]): string {
  const rows = members.map(([code, made]) => {
    const passes = unique(made.map((one) => one.passes)).join(', ');
    return `| \`${code}\` | ${passes} | ${cell(made.map(({ message }) => message))} | ${cell(made.map(({ remedy }) => remedy))} |`;
  });
  return `
## ${prefix}

| code | passes | what it says | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}

function cell(texts: readonly string[]): string {
  return unique(texts.map((text) => text.trim()))
    .filter((text) => /[a-z]/i.test(text))
    .map((text) =>
      text
        .replaceAll('|', '\\|')
        .replaceAll('<', '&lt;')
        .replaceAll(/\s*\n\s*/g, ' '),
    )
    .join('<br>');
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].filter((text) => text !== '');
}
