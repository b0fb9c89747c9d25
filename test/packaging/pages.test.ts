import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { COMMANDS } from '../../cli/command-table.ts';

const ROOT = path.dirname(path.dirname(__dirname));
const PAGES = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md'], { cwd: ROOT });

/** Targets of links within the project, without their anchors. */
function linksIn(text: string): readonly string[] {
  return [...text.matchAll(/\]\((?<target>[^)\s#]+)(?:#[^)\s]*)?\)/g)]
    .map(({ groups }) => groups?.target ?? '')
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** Files and folders that a page names in code font, from the project's root: `compiler/verbs.ts`, `test/compiler/golden`. */
function pathsIn(text: string): readonly string[] {
  const folders =
    'activities|bootstrap|cli|compiler|docs|engines|library|model|parts|planning|plans|repository|test|worker|workflows';
  return [...text.matchAll(new RegExp(`\`(?<path>(?:${folders})/[\\w./-]*)\``, 'g'))].map(
    ({ groups }) => groups?.path ?? '',
  );
}

function missing(folder: string, targets: readonly string[]): readonly string[] {
  return targets.filter((target) => !existsSync(path.join(ROOT, folder, target)));
}

test.each(PAGES)('the links of %s lead to files', (page) => {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  expect(missing(path.dirname(page), linksIn(text))).toEqual([]);
});

test.each(['CONTRIBUTING.md', 'ARCHITECTURE.md', ...PAGES.filter((page) => /glossary|decisions/.test(page))])(
  'the files that %s names are there',
  (page) => {
    const text = readFileSync(path.join(ROOT, page), 'utf8');
    expect(missing('.', pathsIn(text))).toEqual([]);
  },
);

test('every page of docs/ stands in the index by job, of which the site makes its navigation', () => {
  const index = linksIn(readFileSync(path.join(ROOT, 'docs', 'README.md'), 'utf8'));
  const pages = globSync('*.md', { cwd: path.join(ROOT, 'docs') }).filter((page) => page !== 'README.md');
  expect(pages.length).toBeGreaterThan(25);
  expect(pages.filter((page) => !index.includes(page))).toEqual([]);
});

test('every command stands in docs/commands.md', () => {
  const page = readFileSync(path.join(ROOT, 'docs', 'commands.md'), 'utf8');
  expect(COMMANDS.map(({ name }) => name).filter((name) => !page.includes(`\`${name}`))).toEqual([]);
});

test('a link or a name that leads nowhere is found', () => {
  const text =
    'See [the page](docs/no-such-page.md#part) and `compiler/no-such-file.ts`, not [this](https://example.com).';
  expect(missing('.', linksIn(text))).toEqual(['docs/no-such-page.md']);
  expect(missing('.', pathsIn(text))).toEqual(['compiler/no-such-file.ts']);
});
