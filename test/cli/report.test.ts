import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import type { BackupFate } from '../../activities/prune.ts';
import { reportPage } from '../../cli/report/page.ts';
import type { PlanReport } from '../../cli/report/plan-report.ts';
import { compile } from '../../compiler/compile.ts';
import type { ArchiveStanding } from '../../model/archive-standing.ts';
import type { VerifyReport } from '../../model/backup.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { CatalogueEntry } from '../../model/recovery.ts';
import { decideRetention } from '../../planning/retention.ts';
import { startChromium } from '../support/browser.ts';
import { holdfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';

/** The page is looked at where people look at it: in a browser. */
const NOW = new Date('2026-11-24T12:00:00Z');
const DAY_MS = 86_400_000;

let browser: Browser;
let folder: string;

beforeAll(async () => {
  browser = await startChromium();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-report-'));
});
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

function planFile(name: string): string {
  return (
    repositoryDocument(folder) +
    planDocument(
      name,
      `  schedule: { cron: "0 2 * * *", timezone: Europe/Berlin }
  retention: { keepLast: 3, keepDaily: 14, keepWeekly: 6 }
`,
    )
  );
}

function planNamed(name: string): CompiledPlan {
  const [plan] = compile([{ path: 'orders.yaml', text: planFile(name) }]).plans;
  if (plan === undefined) throw new Error('the plan of the test does not compile');
  return plan;
}

/** Sixty nights: sizes that grow, a drill a week, one damaged backup, the newest not verified yet. */
function sixtyNights(name = 'orders-nightly'): PlanReport {
  const plan = planNamed(name);
  const entries = Array.from({ length: 60 }, (_, n): CatalogueEntry => {
    const instantMs = NOW.getTime() - n * DAY_MS - 9 * 3_600_000;
    const at = new Date(instantMs + 3_600_000).toISOString();
    const bytes = Math.round((40 - n * 0.3 + 2 * Math.sin(n)) * 2 ** 30);
    const damaged = n === 17;
    return {
      backup: `${new Date(instantMs).toISOString().slice(0, 10).replaceAll('-', '')}T030000Z-${(n * 7919).toString(16).padStart(6, '0')}`,
      instant: new Date(instantMs).toISOString(),
      completedAt: at,
      rows: 412_000_000 - n * 900_000,
      bytes,
      storedBytes: Math.round(bytes / 4.1),
      durationMs: 1_100_000 - n * 6_000 + (n % 9 === 4 ? 500_000 : 0),
      contents: 'all',
      ...(n === 0
        ? {}
        : {
            verified: { level: 'content', verdict: damaged ? 'FAILED' : 'OK', at },
            ...(damaged ? {} : { lastGood: { level: 'content', at } }),
          }),
      ...(n % 7 === 3 ? { drill: { verdict: 'OK', at, restoreMs: 2_400_000 + n * 1_000 } } : {}),
    };
  });
  const verdicts = decideRetention(entries, plan.retention, { now: NOW });
  const fates = verdicts.map(
    (verdict, index): BackupFate =>
      verdict.keep
        ? { ...verdict, fate: 'keep' }
        : {
            ...verdict,
            fate: index > 40 ? 'delete' : 'mark',
            deleteAfter: new Date(NOW.getTime() + (index > 40 ? -1 : 1) * DAY_MS).toISOString(),
          },
  );
  const history = entries.flatMap(({ backup, verified, drill }): VerifyReport[] => {
    if (verified === undefined) return [];
    const report: VerifyReport = {
      ...{
        plan: name,
        backup,
        level: verified.level,
        verdict: verified.verdict,
        checkedObjects: 640,
        checkedBytes: 1,
      },
      problems: verified.verdict === 'OK' ? [] : ['data/e1/t00012-c00003-9f2c.zst differs from its SHA-256'],
      startedAt: verified.at,
      finishedAt: new Date(Date.parse(verified.at) + 190_000).toISOString(),
    };
    if (drill === undefined) return [report];
    const assertions = [{ name: 'there are orders', verdict: 'OK' as const }];
    return [{ ...report, level: 'restore', drill: { restoreMs: drill.restoreMs ?? 0, assertions } }, report];
  });
  const catalogue = {
    ...{ plan: name, repository: 'main', entries, unusable: 0, total: 60, readAt: NOW.toISOString() },
  };
  return { plan, catalogue, fates, history, archive: [ARCHIVE] };
}

const ARCHIVE: ArchiveStanding = {
  ...{ database: 'shop', from: '2026-11-20T03:00:00.000000Z', to: '2026-11-23T03:00:00.000000Z' },
  ...{ provedTo: '2026-11-22T03:00:00.000000Z', isEnded: false, intervals: 1, holesInAll: 1 },
  holes: [
    { from: '2026-11-19T03:00:00.000000Z', to: '2026-11-20T03:00:00.000000Z', reason: 'The slot <is> gone.' },
  ],
};

/** Opens a page of its own, with everything that a page must not do gathered. */
async function open(html: string, colorScheme: 'light' | 'dark'): Promise<{ page: Page; faults: string[] }> {
  const file = path.join(folder, 'report.html');
  await writeFile(file, html);
  const page = await browser.newPage({ colorScheme, viewport: { width: 1_200, height: 1_000 } });
  const faults: string[] = [];
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith('file:') && !url.startsWith('data:')) faults.push(`request ${url}`);
  });
  page.on('console', (message) => faults.push(`console ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`error ${error.message}`));
  await page.goto(pathToFileURL(file).href);
  return { page, faults };
}

test.each(['light', 'dark'] as const)(
  'the page is whole by itself and says how the plan stands (%s)',
  async (colorScheme) => {
    const { page, faults } = await open(reportPage([sixtyNights()], NOW), colorScheme);
    expect(faults).toEqual([]);
    expect(await page.locator('h2').textContent()).toBe('orders-nightly');
    expect(await page.locator('.tile', { hasText: 'Would be lost now' }).locator('b').textContent()).toBe(
      '9 h',
    );
    expect(await page.locator('.tile', { hasText: 'Known to be good' }).locator('b').textContent()).toBe(
      '33 h',
    );
    expect(await page.locator('svg .mark circle, svg .mark path').count()).toBe(60 + 4);
    expect(await page.locator('svg[role=img] .mark.damaged').count()).toBe(1);
    expect(await page.locator('svg[role=img] .drill').count()).toBe(9);
    const archive = page.locator('h3', { hasText: 'Archive of changes' }).locator('xpath=following::ul[1]');
    expect(await archive.locator('li').allTextContents()).toEqual([
      expect.stringMatching(
        /^archive of shop: \S+ to \S+, .* behind at \S+, proved up to 2026-11-22T03:00:00/,
      ),
      expect.stringMatching(/^hole in the archive of shop, .*: The slot <is> gone\.$/),
    ]);
    const retention = page
      .locator('h3', { hasText: 'next retention run' })
      .locator('xpath=following::table[1]');
    expect(await retention.locator('tbody tr').count()).toBeGreaterThan(20);
    expect(await retention.textContent()).toContain('deletes it');
    // Nothing sticks out to the side, on a screen or on a phone.
    for (const width of [1_200, 390]) {
      await page.setViewportSize({ width, height: 900 });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    }
    const screenshot = process.env.HOLDFAST_SCREENSHOTS;
    if (screenshot !== undefined) {
      await page.setViewportSize({ width: 1_200, height: 1_130 });
      await page.screenshot({ path: path.join(screenshot, `report-${colorScheme}.png`) });
    }
    await page.close();
  },
);

test('it prints: every picture and row is on paper', async () => {
  const { page } = await open(reportPage([sixtyNights()], NOW), 'light');
  const pdf = await page.pdf({ format: 'A4' });
  expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
  expect(pdf.toString('latin1').match(/\/Type \/Page\b/g)?.length).toBeGreaterThan(1);
  await page.close();
});

test('what a database or a store calls its things is text, and nothing else', async () => {
  const report = sixtyNights();
  const [first] = report.history;
  const evil = '<img src=x onerror=alert(1)></script><script>alert(2)</script>';
  const history = first === undefined ? [] : [{ ...first, problems: [evil], verdict: 'FAILED' as const }];
  const { page, faults } = await open(reportPage([{ ...report, history }], NOW), 'light');
  expect(faults).toEqual([]);
  expect(await page.locator('script, img').count()).toBe(0);
  expect(await page.getByText(evil).count()).toBe(1);
  await page.close();
});

describe('the command', () => {
  test('writes the page of a repository without a backup, and says so there', async () => {
    await mkdir(path.join(folder, 'repository'), { recursive: true });
    const plan = path.join(folder, 'orders.yaml');
    const out = path.join(folder, 'empty.html');
    await writeFile(plan, planFile('orders'));
    const { code, stdout } = await holdfast(['report', plan, '--out', out, '--json']);
    expect({ code, document: JSON.parse(stdout) }).toEqual({
      code: 0,
      document: { file: out, plans: ['orders'], unread: [] },
    });
    expect(await readFile(out, 'utf8')).toContain('There is no backup that could be restored.');
  });

  test('tells a repository that can’t be read on the page, and ends with 3', async () => {
    const plan = path.join(folder, 'gone.yaml');
    const out = path.join(folder, 'gone.html');
    await writeFile(plan, planFile('gone').replace('/repository', '/not-there'));
    const { code, stdout } = await holdfast(['report', plan, '--out', out, '--json']);
    expect({ code, unread: JSON.parse(stdout).unread }).toEqual({ code: 3, unread: ['gone'] });
    expect(await readFile(out, 'utf8')).toContain('the directory does not exist');
  });

  test('refuses a place that it can’t write to in one sentence', async () => {
    const plan = path.join(folder, 'orders.yaml');
    const { code, stdout } = await holdfast([
      'report',
      plan,
      '--out',
      path.join(folder, 'no', 'x.html'),
      '--json',
    ]);
    expect({ code, error: JSON.parse(stdout).error.code }).toEqual({ code: 1, error: 'REPORT_NOT_WRITTEN' });
  });
});
