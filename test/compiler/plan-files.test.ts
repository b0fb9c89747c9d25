import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compilePlanFiles, InvalidPlanError, loadPlanFiles, resolvePlan } from '../../library/plan-files.ts';
import { withScratchFolder } from '../support/scratch.ts';

const repository = (name: string): string =>
  `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: ${name} }\nspec: { directory: /mnt/backups }\n`;
const plan = (name: string, to = 'main'): string =>
  `apiVersion: holdfast/v1\nkind: BackupPlan\nmetadata: { name: ${name} }\nspec: { source: { ysql: { connection: { env: URL } } }, repository: ${to} }\n`;

/** A folder with these files, its path in front of their names. */
async function withFiles<T>(
  files: Readonly<Record<string, string | Uint8Array>>,
  use: (path: (name: string) => string) => Promise<T>,
): Promise<T> {
  return withScratchFolder(async (folder) => {
    const path = (name: string): string => join(folder, name);
    for (const [name, content] of Object.entries(files)) await writeFile(path(name), content);
    return use(path);
  });
}

describe('a file that cannot be read is an error beside the others', () => {
  test.each([
    ['that is not there', 'FILE_NOT_FOUND', 'missing.yaml'],
    ['that is a directory', 'FILE_IS_DIRECTORY', 'folder.yaml'],
    ['that is a link to itself', 'FILE_UNREADABLE', 'loop.yaml'],
    ['that is not UTF-8', 'FILE_NOT_UTF8', 'latin1.yaml'],
    ['of 10 MB', 'FILE_TOO_LARGE', 'large.yaml'],
  ])('one %s', async (_, code, name) => {
    const files = {
      'good.yaml': `${repository('main')}---\n${plan('orders')}`,
      'latin1.yaml': Uint8Array.from([0x61, 0x3a, 0x20, 0xe9, 0x0a]),
      'large.yaml': 'a: b\n'.repeat(2_000_000),
    };
    await withFiles(files, async (path) => {
      await mkdir(path('folder.yaml'));
      await symlink('loop.yaml', path('loop.yaml'));
      const { plans, diagnostics } = await compilePlanFiles([path(name), path('good.yaml')]);
      expect(diagnostics).toMatchObject([{ code, file: path(name), line: 1, column: 1 }]);
      expect(plans.map((each) => each.name)).toEqual(['orders']);
    });
  });

  test('a directory without plan files says so', async () => {
    await withFiles({ 'notes.txt': 'x' }, async (path) => {
      const { diagnostics } = await loadPlanFiles([path('')]);
      expect(diagnostics).toMatchObject([{ code: 'FILE_IS_DIRECTORY' }]);
    });
  });
});

test('a directory stands for its plan files, each once', async () => {
  const files = { 'b.yml': plan('b'), 'a.yaml': plan('a'), 'notes.md': '# no plan' };
  await withFiles(files, async (path) => {
    const loaded = await loadPlanFiles([path(''), path('a.yaml')]);
    expect(loaded.files.map((file) => file.path)).toEqual([path('a.yaml'), path('b.yml')]);
  });
});

describe('a template that the given files lack', () => {
  const template = (plan: string): string =>
    `apiVersion: holdfast/v1\nkind: PlanTemplate\nmetadata: { name: nightly }\nspec: { plan: ${plan} }\n`;
  const made =
    'apiVersion: holdfast/v1\nkind: BackupPlan\nmetadata: { name: orders }\nspec: { template: { name: nightly }, source: { ysql: { connection: { env: URL } } } }\n';

  test('is taken from the files beside them', async () => {
    const files = {
      'orders.yaml': made,
      'shared.yaml': `${repository('main')}---\n${template('{ repository: main }')}`,
    };
    await withFiles(files, async (path) => {
      const { plans, templates, diagnostics } = await compilePlanFiles([path('orders.yaml')]);
      expect(diagnostics).toEqual([]);
      expect(plans.map(({ pipeline }) => pipeline.repository.name)).toEqual(['main']);
      expect(templates).toEqual([]);
    });
  });

  test('is an error in the plan where it is broken there, and one in its own file where both do not fit', async () => {
    const files = {
      'orders.yaml': made,
      'shared.yaml': `${repository('main')}---\n${template('{ repositry: main }')}`,
    };
    await withFiles(files, async (path) => {
      const broken = await compilePlanFiles([path('orders.yaml')]);
      expect(broken.diagnostics).toMatchObject([{ code: 'BROKEN_TEMPLATE', file: path('orders.yaml') }]);
      await writeFile(
        path('shared.yaml'),
        `${repository('main')}---\n${template('{ repository: main, steps: [snapshot, upload] }')}`,
      );
      const refused = await resolvePlan(path('orders.yaml')).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(InvalidPlanError);
      expect((refused as InvalidPlanError).diagnostics).toMatchObject([{ file: path('shared.yaml') }]);
      expect(String(refused)).toContain('steps: [snapshot, upload]');
    });
  });
});

describe('a repository that the given files lack', () => {
  test('is taken from the files beside them, whose own errors do not matter', async () => {
    const files = {
      'orders.yaml': plan('orders'),
      'repositories.yaml': repository('main'),
      'broken.yaml': 'kind: [',
    };
    await withFiles(files, async (path) => {
      const { plans, repositories, diagnostics } = await compilePlanFiles([path('orders.yaml')]);
      expect(diagnostics).toEqual([]);
      expect(plans.map(({ pipeline }) => pipeline.repository.name)).toEqual(['main']);
      expect(repositories).toEqual([]);
    });
  });

  test('is an error where it is broken there', async () => {
    const files = {
      'orders.yaml': plan('orders'),
      'repositories.yaml': repository('main').replace('/mnt/', ''),
    };
    await withFiles(files, async (path) => {
      const { plans, diagnostics } = await compilePlanFiles([path('orders.yaml')]);
      expect(diagnostics).toMatchObject([{ code: 'BROKEN_REPOSITORY', file: path('orders.yaml') }]);
      expect(plans).toEqual([]);
    });
  });
});

describe('a PLAN on the command line', () => {
  const files = {
    'one.yaml': `${repository('main')}---\n${plan('orders')}`,
    'two.yaml': `${plan('billing')}---\n${plan('users')}`,
    'wrong.yaml': plan('wrong', 'nowhere'),
  };

  test.each([
    ['one.yaml', 'orders'],
    ['one.yaml#orders', 'orders'],
    ['two.yaml#users', 'users'],
  ])('%s is plan %s', async (argument, name) => {
    await withFiles(files, async (path) => {
      expect((await resolvePlan(path(argument))).name).toBe(name);
    });
  });

  test.each([
    ['two.yaml', 'holds several plans', '#billing'],
    ['two.yaml#user', 'no plan user', '`users`?'],
    ['wrong.yaml', 'UNKNOWN_REPOSITORY', 'validate'],
    ['missing.yaml', 'FILE_NOT_FOUND', 'validate'],
  ])('%s is refused with what to write', async (argument, message, remedy) => {
    await withFiles(files, async (path) => {
      const refused = resolvePlan(path(argument));
      await expect(refused).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(message),
        remedy: expect.stringContaining(remedy),
      });
    });
  });

  test('that is broken has its errors in the error', async () => {
    await withFiles(files, async (path) => {
      const refused = await resolvePlan(path('wrong.yaml')).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(InvalidPlanError);
      expect((refused as InvalidPlanError).diagnostics).toHaveLength(1);
    });
  });
});
