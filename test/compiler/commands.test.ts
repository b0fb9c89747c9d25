import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { planJsonSchema } from '../../compiler/json-schema.ts';
import { planReference } from '../../compiler/reference.ts';
import { holdfastIn, startHoldfast } from '../support/holdfast.ts';
import { withScratchFolder } from '../support/scratch.ts';
import { REPOSITORY } from './marked.ts';

const ROOT = resolve(__dirname, '..', '..');

/** Run before the command: its input and its messages count as a terminal's. */
const AS_ON_TERMINAL = 'process.stdin.isTTY = true; process.stderr.isTTY = true;';

const BROKEN =
  'apiVersion: holdfast/v1\nkind: BackupPlan\nmetadata: { name: x }\nspec: { repositry: main }\n';

const WINDOWED = `${REPOSITORY}apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: x }
spec:
  source: { ysql: { connection: { env: URL } } }
  repository: main
  window: 22:00-05:00
  priority: 1
`;

describe('holdfast validate', () => {
  test('accepts every plan of the project', async () => {
    const { code, stdout, stderr } = await holdfastIn(ROOT, 'validate', 'plans');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain('plans/orders.yaml: plan orders, 5 steps');
  });

  test('shows each error under its line, on stderr, and ends with 2', async () => {
    await withScratchFolder(async (folder) => {
      await writeFile(join(folder, 'x.yaml'), BROKEN);
      const { code, stdout, stderr } = await holdfastIn(folder, 'validate', 'x.yaml', 'missing.yaml');
      expect(code).toBe(2);
      expect(stdout).toBe('');
      expect(stderr).toContain('x.yaml:4:9 error `repositry` is not a key of `spec`');
      expect(stderr).toContain(
        '4 | spec: { repositry: main }\n  |         ^^^^^^^^^\n  = Did you mean `repository`?',
      );
      expect(stderr).toContain('missing.yaml:1:1 error There is no such file');
      expect(stderr).toContain('in 2 files');
      expect(stderr).not.toMatch(/\n\s+at /);
    });
  });

  test('warns of a window that an unfinished backup waits for, and ends with 0', async () => {
    await withScratchFolder(async (folder) => {
      await writeFile(join(folder, 'x.yaml'), WINDOWED);
      const { code, stderr } = await holdfastIn(folder, 'validate', 'x.yaml');
      expect(code).toBe(0);
      expect(stderr).toMatch(/^x\.yaml: warning, plan x: While its `window` is closed/);
      const { stdout } = await holdfastIn(folder, 'validate', 'x.yaml', '--json');
      expect(JSON.parse(stdout)).toMatchObject({ valid: true, warnings: [{ plan: 'x', file: 'x.yaml' }] });
    });
  });

  test('gives one JSON document with --json', async () => {
    await withScratchFolder(async (folder) => {
      await writeFile(join(folder, 'x.yaml'), BROKEN);
      const { code, stdout, stderr } = await holdfastIn(folder, 'validate', 'x.yaml', '--json');
      expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
      const { valid, diagnostics } = JSON.parse(stdout);
      expect(valid).toBe(false);
      expect(diagnostics[0]).toEqual({
        code: 'MISSING_KEY',
        file: 'x.yaml',
        line: 4,
        column: 1,
        endLine: 4,
        endColumn: 5,
        message: '`spec.source` is missing',
        remedy: 'Add `source: { ysql: { connection: { env: ORDERS_DATABASE_URL } } }`.',
      });
    });
  });
});

describe('holdfast explain', () => {
  test('prints each step with its activity, queue, retry, timeout, and what goes in and out', async () => {
    const { code, stdout } = await holdfastIn(ROOT, 'explain', 'plans/orders-s3.yaml');
    expect(code).toBe(0);
    const upload = stdout.split('\n').find((line) => line.startsWith('upload'));
    expect(upload?.split(/ {2,}/)).toEqual([
      'upload',
      'success',
      'upload, then seal',
      'holdfast',
      '4',
      'any number of tries, 1s to 1m apart',
      '1d',
      'work list → backup',
    ]);
  });

  test.each([
    ['mermaid', 'flowchart LR\n', '  s3 -->|work list| s4'],
    ['dot', 'digraph "orders-nightly" {\n', '  "export" -> "upload" [label="work list"];'],
  ])('draws the graph for %s', async (format, head, edge) => {
    const { stdout } = await holdfastIn(ROOT, 'explain', 'plans/orders-s3.yaml', '--format', format);
    expect(stdout.startsWith(head)).toBe(true);
    expect(stdout.split('\n')).toContain(edge);
  });

  test('gives one JSON document, and finds a plan of ./plans by its name', async () => {
    const { stdout } = await holdfastIn(ROOT, 'explain', 'orders-two-sites', '--json');
    const { plan, steps } = JSON.parse(stdout);
    expect(plan).toBe('orders-two-sites');
    expect(steps.map(({ step, needs }: { step: string; needs: string[] }) => [step, needs])).toEqual([
      ['pause', []],
      ['flush', ['pause']],
      ['snapshot', ['flush']],
      ['export', ['snapshot']],
      ['upload', ['export']],
      ['resume', ['upload']],
      ['copy', ['upload']],
      ['rehearsal', ['upload']],
    ]);
  });

  test('shows where the values of a plan with a template came from', async () => {
    const { code, stdout } = await holdfastIn(ROOT, 'explain', 'plans/fleet.yaml#billing');
    expect(code).toBe(0);
    const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
    const of = (field: string) => rows.findLast(([name]) => name === field)?.slice(1);
    expect(of('source.ysql.connection.env')).toEqual([
      'BILLING_DATABASE_URL',
      'parameter database, plans/fleet.yaml:38',
    ]);
    expect(of('repository')).toEqual(['local', 'template plans/fleet.yaml:22']);
    expect(of('retention.keepYearly')).toEqual(['10', 'plan plans/fleet.yaml:39']);
    expect(of('schedule.overlap')).toEqual(['skip', 'default']);
  });

  test('shows window and priority', async () => {
    await withScratchFolder(async (folder) => {
      await writeFile(join(folder, 'x.yaml'), WINDOWED);
      const { stdout } = await holdfastIn(folder, 'explain', 'x.yaml');
      expect(stdout).toMatch(/^window +22:00-05:00 UTC; outside of it the transfer pauses$/m);
      expect(stdout).toMatch(/^priority +1 of 5, 1 first$/m);
    });
  });

  test('ends with 2 for a plan that has errors', async () => {
    await withScratchFolder(async (folder) => {
      await writeFile(join(folder, 'x.yaml'), BROKEN);
      const { code, stdout, stderr } = await holdfastIn(folder, 'explain', 'x.yaml');
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toContain('Did you mean `repository`?');
    });
  });
});

describe('holdfast init', () => {
  test('writes a plan that is valid as it stands, with the schema that its first line names', async () => {
    await withScratchFolder(async (folder) => {
      const made = await holdfastIn(
        folder,
        'init',
        'orders',
        '--bucket',
        'acme-backups',
        '--cron',
        '0 2 * * *',
        '--json',
      );
      expect(made).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(made.stdout)).toMatchObject({ plan: 'orders', file: 'plans/orders.yaml' });
      expect((await holdfastIn(folder, 'validate', 'plans')).code).toBe(0);
      const text = await readFile(join(folder, 'plans', 'orders.yaml'), 'utf8');
      expect(text.startsWith('# yaml-language-server: $schema=holdfast.schema.json\n')).toBe(true);
      const schema = await readFile(join(folder, 'plans', 'holdfast.schema.json'), 'utf8');
      expect(JSON.parse(schema).title).toBe('Holdfast plan file');
    });
  });

  test('never overwrites a file, unless told to', async () => {
    await withScratchFolder(async (folder) => {
      await mkdir(join(folder, 'plans'));
      const file = join(folder, 'plans', 'orders.yaml');
      await writeFile(file, 'mine');
      const refused = await holdfastIn(folder, 'init', 'orders', '--directory', '/mnt/backups');
      expect(refused.code).toBe(2);
      expect(refused.stderr).toContain('--force');
      expect(await readFile(file, 'utf8')).toBe('mine');
      expect(
        (await holdfastIn(folder, 'init', 'orders', '--directory', '/mnt/backups', '--force')).code,
      ).toBe(0);
      expect(await readFile(file, 'utf8')).toContain('kind: BackupPlan');
    });
  });

  test('refuses answers that make no valid plan, and writes nothing', async () => {
    await withScratchFolder(async (folder) => {
      const { code, stderr } = await holdfastIn(folder, 'init', 'orders', '--directory', 'relative');
      expect(code).toBe(2);
      expect(stderr).toContain('not an absolute path');
      await expect(readFile(join(folder, 'plans', 'orders.yaml'))).rejects.toThrow('ENOENT');
    });
  });

  test('refuses a name once, in one sentence and with one that would do', async () => {
    await withScratchFolder(async (folder) => {
      const { code, stderr } = await holdfastIn(folder, 'init', 'Bad Name!', '--directory', '/mnt/backups');
      expect(code).toBe(2);
      expect(stderr.match(/Bad Name!/g)).toHaveLength(1);
      expect(stderr).toContain('`bad-name`');
    });
  });

  test('asks nothing on a terminal before it has refused a name', async () => {
    await withScratchFolder(async (folder) => {
      const { code, stderr } = await startHoldfast(
        ['init', 'Bad Name!'],
        { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(AS_ON_TERMINAL)}` },
        folder,
      ).end;
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('is not a name') });
      expect(stderr).not.toContain('Environment variable');
    });
  });
});

describe('what is made from the schema is current', () => {
  test('plans/holdfast.schema.json, by `holdfast schema`', async () => {
    const published = await readFile(join(ROOT, 'plans', 'holdfast.schema.json'), 'utf8');
    expect(published).toBe(`${JSON.stringify(planJsonSchema(), undefined, 2)}\n`);
    expect((await holdfastIn(ROOT, 'schema')).stdout).toBe(published);
  });

  test('the reference in docs/plan-language.md, by `holdfast schema --markdown`', async () => {
    const page = await readFile(join(ROOT, 'docs', 'plan-language.md'), 'utf8');
    expect(page.split('<!-- reference -->')[1]?.split('<!-- /reference -->')[0]?.trim()).toBe(
      planReference(),
    );
  });
});
