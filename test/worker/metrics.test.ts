import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { ArchiveStanding } from '../../model/archive-standing.ts';
import type { Catalogue, CatalogueEntry } from '../../model/recovery.ts';
import { freePort } from '../../parts/ports.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import {
  ensurePrometheus,
  type PrometheusServer,
  promtool,
  startPrometheus,
} from '../../parts/prometheus.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { PlanMetrics, type PlanSources } from '../../worker/plan-metrics.ts';
import { holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';

const DEPLOY = path.resolve(__dirname, '..', '..', 'deploy');
const DASHBOARD = path.join(DEPLOY, 'grafana', 'holdfast-dashboard.json');
const RULES = path.join(DEPLOY, 'prometheus', 'holdfast-rules.yaml');

beforeAll(() => ensurePrometheus());

type Plans = Awaited<ReturnType<PlanSources['plans']>>;

function entry(backup: string, instant: string, changes: Partial<CatalogueEntry> = {}): CatalogueEntry {
  return {
    ...{ backup, instant, completedAt: instant, rows: 10, bytes: 100, storedBytes: 40, contents: 'all' },
    ...changes,
  };
}

function catalogueOf(...entries: readonly CatalogueEntry[]): Catalogue {
  return {
    ...{ plan: 'orders', repository: 'main', entries, unusable: 0, total: entries.length },
    readAt: '2026-11-24T10:00:00.000Z',
  };
}

function planOf(plan: string, catalogue: () => Promise<Catalogue>): Plans[number] {
  return { plan, engine: 'ysql', repository: 'main', paused: false, refused: 2, catalogue };
}

const HOLE = {
  ...{ from: '2026-11-20T02:00:00.000Z', to: '2026-11-20T03:00:00.000Z', code: 'source-lag' as const },
  reason: 'The slot kept 21 GiB of WAL on the source.',
};

const ARCHIVE: ArchiveStanding = {
  ...{ database: 'shop', from: '2026-11-20T03:00:00.000Z', to: '2026-11-24T11:59:00.000Z' },
  ...{
    isEnded: false,
    intervals: 1,
    holes: [{ ...HOLE, from: '2026-11-19T01:00:00.000Z' }, HOLE],
    holesInAll: 7,
  },
};

describe('the metrics of plans', () => {
  const NOW = Date.parse('2026-11-24T12:00:00Z');
  let plans: Plans;
  const problems: string[] = [];
  const metrics = new PlanMetrics({ plans: async () => plans }, (problem) => problems.push(problem));
  const render = async () => {
    await metrics.refresh();
    return metrics.render(NOW);
  };

  test('tell the newest and the oldest instant, what was verified and drilled, and the age of what would be lost', async () => {
    plans = [
      planOf('orders', async () =>
        catalogueOf(
          entry('b3', '2026-11-24T10:00:00Z', {
            verified: { level: 'content', verdict: 'FAILED', at: '2026-11-24T11:00:00Z' },
          }),
          entry('b2', '2026-11-24T06:00:00Z', { durationMs: 90_000 }),
          entry('b1', '2026-11-23T06:00:00Z', {
            verified: { level: 'content', verdict: 'OK', at: '2026-11-23T07:00:00Z' },
            lastGood: { level: 'content', at: '2026-11-23T07:00:00Z' },
            drill: { verdict: 'OK', at: '2026-11-23T08:00:00Z', restoreMs: 4_200 },
          }),
        ),
      ),
    ];
    const text = await render();
    for (const line of [
      'holdfast_plans 1',
      'holdfast_backups{plan="orders"} 3',
      'holdfast_backups_damaged{plan="orders"} 1',
      'holdfast_last_backup_age_seconds{plan="orders"} 21600',
      'holdfast_last_good_backup_age_seconds{plan="orders"} 108000',
      'holdfast_last_drill_verdict{plan="orders",verdict="OK"} 1',
      'holdfast_last_drill_verdict{plan="orders",verdict="FAILED"} 0',
      'holdfast_last_good_drill_restore_seconds{plan="orders"} 4.2',
      'holdfast_plan_refused_requests{plan="orders"} 2',
      'holdfast_repository_up{plan="orders"} 1',
      `holdfast_first_recoverable_instant_timestamp_seconds{plan="orders"} ${Date.parse('2026-11-23T06:00:00Z') / 1000}`,
    ]) {
      expect(text).toContain(`${line}\n`);
    }
  });

  test('keep what was read last of a repository that does not answer, and say that it does not', async () => {
    plans = [
      planOf('orders', async () => {
        throw new Error('no bucket');
      }),
    ];
    const text = await render();
    expect(text).toContain('holdfast_repository_up{plan="orders"} 0\n');
    expect(text).toContain('holdfast_backups{plan="orders"} 3\n');
    expect(problems.at(-1)).toContain('no bucket');
  });

  test('forget a plan that is gone', async () => {
    plans = [];
    expect(await render()).not.toContain('orders');
  });

  test('tell how long the plan’s locks last: from now, nothing where none is known, and no sample where nothing is to be locked', async () => {
    const damaged = {
      verified: { level: 'content', verdict: 'FAILED', at: '2026-11-24T11:00:00Z' },
    } as const;
    const horizonOf = async (locks: object, ...entries: readonly CatalogueEntry[]) => {
      plans = [planOf('locked', async () => ({ ...catalogueOf(...entries), ...locks }))];
      return /^holdfast_lock_horizon_seconds\{plan="locked"\} (.*)$/m.exec(await render())?.[1];
    };
    const until = (wholeLockedUntil: string, more = {}) =>
      entry(wholeLockedUntil, '2026-11-24T06:00:00Z', { wholeLockedUntil, ...more });
    const locked = [until('2026-11-25T12:00:00Z'), until('2026-11-26T12:00:00Z', damaged)];
    expect(await horizonOf({ locks: true }, ...locked)).toBe('86400');
    expect(await horizonOf({ locks: true }, until('2026-11-24T11:00:00Z'))).toBe('-3600');
    expect(await horizonOf({ locks: true }, entry('b', '2026-11-24T06:00:00Z', {}))).toBe('0');
    expect(await horizonOf({}, entry('b', '2026-11-24T06:00:00Z', {}))).toBeUndefined();
  });

  test('tell window, lag, proof and holes of an archive of changes, and keep them while the repository is away', async () => {
    let isAway = false;
    const catalogue = async () => {
      if (isAway) throw new Error('no bucket');
      return catalogueOf();
    };
    const archived = { ...planOf('archived', catalogue), archive: async () => [ARCHIVE] };
    plans = [archived, planOf('other', async () => catalogueOf())];
    const lines = [
      'holdfast_archive_lag_seconds{plan="archived",database="shop"} 60',
      'holdfast_archive_holes{plan="archived",database="shop"} 7',
      'holdfast_archive_ended{plan="archived",database="shop"} 0',
      `holdfast_archive_hole_timestamp_seconds{plan="archived",database="shop",code="source-lag"} ${Date.parse(HOLE.from) / 1000}`,
      `holdfast_archive_end_timestamp_seconds{plan="archived",database="shop"} ${Date.parse(ARCHIVE.to) / 1000}`,
    ];
    for (const away of [false, true]) {
      isAway = away;
      const text = await render();
      for (const line of lines) expect(text).toContain(`${line}\n`);
      expect(text).not.toContain('holdfast_archive_proved_timestamp_seconds{');
      expect(text).not.toContain('plan="other",database');
    }
    plans = [{ ...archived, archive: async () => [{ ...ARCHIVE, provedTo: ARCHIVE.from }] }];
    isAway = false;
    expect(await render()).toContain(
      `holdfast_archive_proved_timestamp_seconds{plan="archived",database="shop"} ${Date.parse(ARCHIVE.from) / 1000}\n`,
    );
  });

  test('have no numbers of what never happened', async () => {
    plans = [planOf('fresh', async () => catalogueOf())];
    const text = await render();
    expect(text).toContain('holdfast_backups{plan="fresh"} 0\n');
    expect(text).not.toMatch(/holdfast_(first|last)_[a-z_]+\{/);
  });

  test('are there for every plan of a large fleet', async () => {
    plans = Array.from({ length: 1_007 }, (_, n) => planOf(`p${n}`, async () => catalogueOf()));
    const text = await render();
    expect(text.match(/^holdfast_plan_info\{/gm)).toHaveLength(1_007);
    expect(text).toContain('holdfast_plans 1007\n');
  });

  test('are what promtool takes for good metrics', async () => {
    plans = [planOf('odd"\\name', async () => catalogueOf(entry('b1', '2026-11-23T06:00:00Z')))];
    const child = promisify(execFile)('promtool', ['check', 'metrics']);
    child.child.stdin?.end(await render());
    await child;
  });
});

test('the alert rules are valid, and fire on what they are for and on nothing else', async () => {
  expect(await promtool(['check', 'rules', RULES])).toContain('SUCCESS');
  expect(await promtool(['test', 'rules', RULES.replace('.yaml', '.test.yaml')])).toContain('SUCCESS');
});

describe('a real Prometheus that scrapes a real worker', () => {
  let postgres: PostgresServer;
  let temporal: TemporalServer;
  let folder: string;
  let plan: string;
  let environment: NodeJS.ProcessEnv;
  let prometheus: PrometheusServer;
  let worker: RunningCommand;

  beforeAll(async () => {
    [postgres, temporal] = await Promise.all([startPostgres(), startTemporal({ headless: true })]);
    folder = await mkdtemp(path.join(tmpdir(), 'holdfast-metrics-'));
    await mkdir(path.join(folder, 'repository'));
    await mkdir(path.join(folder, 'plans'));
    plan = path.join(folder, 'plans', 'orders.yaml');
    await writeFile(
      plan,
      repositoryDocument(folder) +
        planDocument(
          'orders',
          '  drill: { assertions: [{ sql: SELECT count(*) FROM public.orders, expect: 100 }] }\n',
        ),
    );
    const client = new pg.Client({ connectionString: postgres.url() });
    await client.connect();
    await client.query('CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 100) n');
    await client.end();
    const address = `127.0.0.1:${await freePort()}`;
    environment = {
      ORDERS_DATABASE_URL: postgres.url(),
      TEMPORAL_ADDRESS: temporal.address,
      HOLDFAST_METRICS: address,
    };
    worker = startHoldfast(['worker', '--metrics-interval', '1', '--json'], environment);
    prometheus = await startPrometheus({ targets: [address], ruleFiles: [RULES] });
    await eventually('the worker polls', async () => worker.output() !== '');
  });
  afterAll(async () => {
    worker.child.kill('SIGTERM');
    await worker.end;
    await prometheus.stop();
    await temporal.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const measured = async (query: string): Promise<string | undefined> => {
    const { result } = (await prometheus.api(`/api/v1/query?query=${encodeURIComponent(query)}`)) as {
      result: { value: [number, string] }[];
    };
    return result[0]?.value[1];
  };

  const rules = async () => {
    const { groups } = (await prometheus.api('/api/v1/rules')) as {
      groups: { rules: { name: string; health: string }[] }[];
    };
    return groups.flatMap((group) => group.rules);
  };
  const rulesThatFail = async () => (await rules()).filter(({ health }) => health !== 'ok');

  test('loads every rule without an error', async () => {
    const names = (await rules()).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['HoldfastBackupTooOld', 'HoldfastMetricsMissing']));
    await eventually('every rule was evaluated', async () => (await rulesThatFail()).length === 0);
  });

  test('takes every query of the Grafana dashboard', async () => {
    const text = await readFile(DASHBOARD, 'utf8');
    const { panels } = JSON.parse(text) as Dashboard;
    const queries = panels.flatMap(({ targets }) =>
      targets.map(({ expr }) => expr.replaceAll('$plan', '.*')),
    );
    expect(queries.length).toBeGreaterThan(15);
    for (const query of queries) await prometheus.api(`/api/v1/query?query=${encodeURIComponent(query)}`);
  });

  test('has Temporal’s metrics and Holdfast’s from one endpoint', async () => {
    await eventually(
      'Temporal’s are there',
      async () => (await measured('count({__name__=~"temporal_.+"})')) !== undefined,
    );
    await eventually('the plans are listed', async () => (await measured('holdfast_plans_listed')) === '1');
  });

  test('sees a backup and its drill when they are in the repository, for each applied plan', async () => {
    await holdfastJson(['apply', plan], environment);
    await holdfastJson(['backup', plan], environment);
    await holdfastJson(['drill', plan], environment);
    await eventually('one backup', async () => (await measured('holdfast_backups{plan="orders"}')) === '1');
    await eventually(
      'its drill',
      async () => (await measured('holdfast_last_drill_verdict{plan="orders",verdict="OK"}')) === '1',
    );
    expect(await measured('holdfast_last_backup_rows{plan="orders"}')).toBe('100');
    expect(Number(await measured('holdfast_last_backup_age_seconds{plan="orders"}'))).toBeGreaterThan(0);
    expect(await measured('holdfast:backup_age_limit:seconds{plan="orders"}')).toBe('93600');
    // What Temporal's SDK warns of on a slow machine is none of this.
    expect(worker.progress()).not.toMatch(/for metrics/);
  });

  test('has every metric that the dashboard and the alerts ask for', async () => {
    const files = [await readFile(DASHBOARD, 'utf8'), await readFile(RULES, 'utf8')];
    const asked = new Set(files.join('\n').match(/\b(?:holdfast|temporal)_[a-z_]+/g));
    expect(asked.size).toBeGreaterThan(20);
    // It comes with the first chunk that is sent again.
    asked.delete('holdfast_chunks_sent_again_total');
    const metrics = await (await fetch(`http://${environment.HOLDFAST_METRICS}/metrics`)).text();
    // Also those without a sample here, since the plan neither locks its objects nor has an archive.
    const there = new Set(metrics.match(/(?<=^(?:# HELP )?)[a-z_]+/gm));
    expect([...asked].filter((name) => !there.has(name))).toEqual([]);
  });
});

test('the panels of the Grafana dashboard have places and ids of their own, and ask the data source that it declares', async () => {
  const { panels, templating } = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
  expect(templating.list.map(({ name }) => name)).toEqual(expect.arrayContaining(['datasource', 'plan']));
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Set<string>();
  for (const { gridPos, datasource, targets, title } of panels) {
    for (const { uid } of [datasource, ...targets.map((target) => target.datasource)]) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own way to write a variable.
      expect([title, uid]).toEqual([title, '${datasource}']);
    }
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect([title, x < 24, taken.has(`${x},${y}`)]).toEqual([title, true, false]);
        taken.add(`${x},${y}`);
      }
    }
  }
});

interface Dashboard {
  readonly templating: { readonly list: readonly { readonly name: string }[] };
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly datasource: { readonly uid: string };
    readonly targets: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
  }[];
}
