import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SuiteOutcome } from './acceptance.ts';
import type { KillOutcome } from './kills.ts';
import type { Answer } from './questions.ts';

/** What one run of the matrix found out of one release line: docs/yugabytedb-facts/README.md says how to read it. */
export interface Facts {
  readonly format: 1;
  readonly line: string;
  /** Image, or profile of the stand-in. */
  readonly what: string;
  /** Of a stand-in nothing is a fact, and nothing is to be committed. */
  readonly kind: 'docker' | 'stand-in';
  readonly at: string;
  readonly holdfast: string;
  readonly suites: readonly SuiteOutcome[];
  readonly kills: readonly KillOutcome[];
  readonly answers: readonly Answer[];
  /** What kept a part from being run at all. */
  readonly problems: readonly string[];
}

/** True where every test passed, every disturbed run came to a good end, and every part ran. Answers are no verdicts. */
export function isWell({ suites, kills, problems }: Facts): boolean {
  return (
    problems.length === 0 &&
    suites.every(({ failed, passed }) => failed === 0 && passed > 0) &&
    kills.every(({ survived }) => survived)
  );
}

/** Writes `<line>.json` and `<line>.md` into a folder. */
export async function writeFacts(folder: string, facts: Facts): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, `${facts.line}.json`), `${JSON.stringify(facts, null, 2)}\n`);
  await writeFile(path.join(folder, `${facts.line}.md`), render(facts));
}

/** The same for people, as a page. */
export function render(facts: Facts): string {
  const { line, what, kind, at, holdfast, suites, kills, answers, problems } = facts;
  const origin =
    kind === 'docker'
      ? `Found on ${what}, three nodes, three replicas, at ${at} by Holdfast ${holdfast}.`
      : `**No facts**: the stand-in (${what}) answered, not YugabyteDB.`;
  const tests = suites.map(
    ({ suite, passed, failed, skipped, failures }) =>
      `| ${suite} | ${passed} | ${failed} | ${skipped} | ${cell(failures.join('; '))} |`,
  );
  const killed = kills.map(
    ({
      engine = 'ysql',
      killed: what = 'tablet server',
      during,
      survived,
      killedAfterMs,
      durationMs,
      detail,
    }) =>
      `| ${engine} | ${what} | ${during} | ${survived ? 'yes' : '**no**'} | ${killedAfterMs ?? ''} | ${durationMs} | ${cell(detail)} |`,
  );
  const told = answers.map(
    ({ id, question, answer, problem }) =>
      `| ${id} | ${cell(question)} | ${problem === undefined ? code(answer) : `no answer: ${cell(problem)}`} |`,
  );
  return [
    `# YugabyteDB ${line}`,
    origin,
    ...problems.map((problem) => `**Not run:** ${problem}`),
    ['## Tests', '| suite | passed | failed | skipped | failures |', '|---|---|---|---|---|', ...tests].join(
      '\n',
    ),
    [
      '## Something killed',
      '| engine | killed | during | survived | after ms | took ms | detail |',
      '|---|---|---|---|---|---|---|',
      ...killed,
    ].join('\n'),
    ['## Answers', '| id | question | answer |', '|---|---|---|', ...told].join('\n'),
    '',
  ].join('\n\n');
}

const CELL_CHARACTERS = 1_500;

/** Nothing in an answer can end the cell that it stands in. */
function cell(text: string): string {
  return text
    .slice(0, CELL_CHARACTERS)
    .replaceAll(/\s*\n\s*/g, ' ')
    .replaceAll('|', '\\|');
}

function code(answer: unknown): string {
  return `\`${cell(JSON.stringify(answer) ?? '').replaceAll('`', "'")}\``;
}
