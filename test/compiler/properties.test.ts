import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { type Compilation, compile } from '../../compiler/compile.ts';
import { readDuration, writeDuration } from '../../compiler/duration.ts';
import { renderDiagnostics } from '../../compiler/render.ts';
import type { SourceFile } from '../../compiler/source-text.ts';
import { hashOf } from '../../model/canonical-json.ts';

const EVERYTHING = readFileSync(join(__dirname, 'golden', 'everything.yaml'), 'utf8');

/** Words of the language and of YAML, so that random files come near to plans. */
const WORDS = [
  ...new Set(EVERYTHING.match(/[A-Za-z0-9_/-]+|[:{}[\],&*!#'"|>-]/g)),
  '---\n',
  '\n  ',
  '\t',
  '*a',
  '&a ',
  '\r\n',
  '\u0000',
  '\u2028',
  '名前',
];

const anyFile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.array(fc.constantFrom(...WORDS), { maxLength: 120 }).map((words) => words.join(' ')),
  fc.json({ maxDepth: 6 }),
);

/** The golden plan with a few pieces cut out, doubled, or replaced. */
const mutatedPlan = fc
  .array(
    fc.record({
      at: fc.nat(EVERYTHING.length),
      length: fc.nat(30),
      by: fc.oneof(fc.constant(''), fc.constantFrom(...WORDS), fc.string({ maxLength: 8 })),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((edits) =>
    edits.reduce((text, { at, length, by }) => text.slice(0, at) + by + text.slice(at + length), EVERYTHING),
  );

const scalar = fc.oneof(
  fc.constantFrom(
    'main',
    'upload',
    'verify',
    '5m',
    '64MiB',
    '0 2 * * *',
    'UTC',
    'success',
    'failure',
    'always',
  ),
  fc.integer({ min: -1, max: 100 }),
  fc.boolean(),
  fc.constant(null),
);

/** Documents of the right keys with values of any kind. */
const nearlyPlan = fc
  .record({
    apiVersion: fc.constant('holdfast/v1'),
    kind: fc.constantFrom('BackupPlan', 'Repository'),
    metadata: fc.record({ name: scalar }),
    spec: fc.dictionary(
      fc.constantFrom('source', 'repository', 'schedule', 'retention', 'steps', 'directory', 's3'),
      fc.oneof(
        scalar,
        fc.array(
          fc.dictionary(
            fc.constantFrom('flush', 'snapshot', 'export', 'upload', 'verify', 'copy', 'needs', 'when', 'id'),
            fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }), fc.constant({})),
            { maxKeys: 3 },
          ),
          { maxLength: 8 },
        ),
      ),
      { maxKeys: 5 },
    ),
  })
  .map((document) => stringify(document));

const files = fc
  .array(fc.oneof(anyFile, mutatedPlan, nearlyPlan), { minLength: 1, maxLength: 3 })
  .map((texts) => texts.map((text, index): SourceFile => ({ path: `${index}.yaml`, text })));

function isFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isFrozen);
}

/** Errors whose place is not in their file, or that say nothing. */
function misplaced({ diagnostics }: Compilation, sources: readonly SourceFile[]): readonly unknown[] {
  const linesOf = new Map(sources.map(({ path, text }) => [path, text.split('\n')]));
  return diagnostics.filter(({ file, line, column, endLine, endColumn, message, remedy }) => {
    const lines = linesOf.get(file) ?? [];
    const isInside = (at: number, character: number): boolean =>
      at >= 1 && at <= lines.length && character >= 1 && character <= (lines[at - 1] ?? '').length + 1;
    const isForward = endLine > line || (endLine === line && endColumn >= column);
    const speaks = message !== '' && remedy !== '';
    return !(isInside(line, column) && isInside(endLine, endColumn) && isForward && speaks);
  });
}

describe('whatever the files hold', () => {
  test.each(['\u007f', '\u009b', '\u2028', '\u202e'])(
    '%j in what YAML refuses does not reach the terminal',
    (character) => {
      const { diagnostics } = compile([
        { path: '0.yaml', text: `a:\n  b { c: [x] }\n  c${character}d: 1\n` },
      ]);
      expect(diagnostics.map(({ message }) => message).join()).toContain('c\u00b7d');
      expect(diagnostics.map(({ message }) => message).join()).not.toContain(character);
    },
  );
  test('compiling and rendering never throw, and every error stands inside its file', () => {
    fc.assert(
      fc.property(files, (sources) => {
        const result = compile(sources);
        expect(misplaced(result, sources)).toEqual([]);
        const shown = renderDiagnostics(result.diagnostics, sources, { color: false });
        expect(shown === '').toBe(result.diagnostics.length === 0);
        // What is shown can't act on a terminal.
        expect(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/.test(shown)).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test('the same files give the same frozen result', () => {
    fc.assert(
      fc.property(files, (sources) => {
        const result = compile(sources);
        expect(compile(sources)).toEqual(result);
        expect(isFrozen(result)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('a file without errors gives all of its plans, and a plan only comes from a file without errors of syntax', () => {
    fc.assert(
      fc.property(fc.oneof(mutatedPlan, nearlyPlan), (text) => {
        const { plans, diagnostics } = compile([{ path: 'a.yaml', text }]);
        if (diagnostics.length > 0) return;
        expect(plans).toHaveLength(text.match(/^kind: *BackupPlan$/gm)?.length ?? 0);
      }),
      { numRuns: 100 },
    );
  });
});

describe('every compiled plan', () => {
  const valid = fc
    .record({
      parallelism: fc.integer({ min: 1, max: 64 }),
      level: fc.constantFrom('exists', 'checksums', 'content', 'restore'),
      extras: fc.array(fc.constantFrom('flush', 'verify', 'sql: { statement: SELECT 1 }'), { maxLength: 6 }),
      whens: fc.array(fc.constantFrom('success', 'failure', 'always'), { minLength: 6, maxLength: 6 }),
      comment: fc.string({ unit: fc.constantFrom('a', ' ', '#', 'é'), maxLength: 20 }),
    })
    .map(({ parallelism, level, extras, whens, comment }) => {
      const more = extras.map((extra, index) =>
        extra === 'verify'
          ? '    - verify'
          : `    - ${extra}${extra === 'flush' ? ':' : ''}\n      when: ${whens[index]}`,
      );
      return `# ${comment}
apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: /mnt/backups }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: orders }
spec:
  source: { ysql: { connection: { env: URL } } }
  repository: main
  steps:
    - snapshot
    - export
    - upload: { parallelism: ${parallelism} }
    - verify: { level: ${level} }
${more.join('\n')}
`;
    });

  test('has its steps in an order that satisfies their needs, each input from a step that is needed', () => {
    fc.assert(
      fc.property(valid, (text) => {
        const { plans, diagnostics } = compile([{ path: 'a.yaml', text }]);
        expect(diagnostics).toEqual([]);
        const steps = plans[0]?.pipeline.steps ?? [];
        const before = new Set<string>();
        for (const { id, needs, inputs } of steps) {
          expect(needs.filter((need) => !before.has(need))).toEqual([]);
          for (const producer of Object.values(inputs)) expect(needs).toContain(producer);
          expect(before.has(id)).toBe(false);
          before.add(id);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('has the hash of its content, which comments and file names leave as it is', () => {
    fc.assert(
      fc.property(valid, (text) => {
        const [plan] = compile([{ path: 'a.yaml', text }]).plans;
        const { hash, ...content } = plan?.pipeline ?? { hash: 'no plan' };
        expect(hash).toBe(hashOf(content));
        const commented = `# a comment\n${text}\n# another\n`;
        expect(compile([{ path: 'b.yaml', text: commented }]).plans[0]?.pipeline.hash).toBe(hash);
      }),
      { numRuns: 50 },
    );
  });
});

test('a duration that is written out is read back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3650 * 86_400_000 }), (milliseconds) => {
      expect(readDuration(writeDuration(milliseconds))).toEqual({ value: milliseconds });
    }),
  );
});
