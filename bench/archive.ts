import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { quietVerb } from '../engines/quiet-verb.ts';
import { replay } from '../engines/ysql/archive/apply.ts';
import { Cut } from '../engines/ysql/archive/cut.ts';
import { openTimeline } from '../engines/ysql/archive/open.ts';
import { createPosition } from '../engines/ysql/archive/position.ts';
import { readMessages } from '../engines/ysql/archive/read-segments.ts';
import { archiveName } from '../engines/ysql/server/archive-names.ts';
import { parseConnectionUrl } from '../engines/ysql/server/connection-url.ts';
import { withSession } from '../engines/ysql/server/session.ts';
import { type Lsn, microsOfIso, postgresLsn, type Timeline } from '../model/archive.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { chainsOf } from '../planning/archive/window.ts';
import { readTimeline } from '../repository/archive/archive.ts';
import { ArchiveLease } from '../repository/archive/lease.ts';
import { decoderKey } from '../repository/archive/names.ts';
import { openStore } from '../repository/open.ts';
import { ArchiveStage, PLAN } from './archive-stage.ts';
import { describeMachine } from './stage.ts';
import { median } from './statistics.ts';

export interface ArchiveBenchOptions {
  readonly rounds: number;
  /** 1: 400,000 changes, five minutes of steady load. */
  readonly scale: number;
  readonly json: boolean;
  /** Writes docs/benchmarks-archive.md. */
  readonly write: boolean;
  /** Runs only this part. */
  readonly part: ArchivePart | undefined;
}

export const ARCHIVE_PARTS = ['capture', 'replay', 'wide', 'steady', 'cost'] as const;
export type ArchivePart = (typeof ARCHIVE_PARTS)[number];

/** One measured value and its goal. */
interface Row {
  readonly what: string;
  readonly holdfast: string;
  readonly peer: string;
  readonly reached: number;
  readonly goal: string;
}

const [LEDGER, LEDGER_BASE, WIDE, WIDE_BASE] = ['ledger', 'ledger_base', 'wide', 'wide_base'];
/** Numbers of TPC-B transactions, four changes each. The capture waits for the first number; the others follow so that segments close by size. */
const WAITING_TRANSACTIONS = 60_000;
const ALL_TRANSACTIONS = 100_000;
/** A sixteenth of the default, so that a segment closes soon after the last measured change. */
const SEGMENT_BYTES = 1024 * 1024;
const STEADY_TPS = 1_250;
const STEADY_SECONDS = 300;
const WIDE_ROWS = 400_000;
const WIDE_COLUMNS = 16;
const COST_SECONDS = 20;

/** Compares the archive of changes with PostgreSQL's own programs, in one run on one machine. */
export async function benchArchive(options: ArchiveBenchOptions): Promise<void> {
  await using cleanUp = new AsyncDisposableStack();
  const folder = await createScratchFolder('bench');
  cleanUp.defer(() => folder.remove());
  const stage = await ArchiveStage.start();
  cleanUp.defer(() => stage.stop());
  const bench = new ArchiveBench(stage, folder.path, options);
  const rows = await bench.run();
  const page = render(rows, options);
  if (options.write) {
    await writeFile(fileURLToPath(new URL('../docs/benchmarks-archive.md', import.meta.url)), page);
  }
  process.stdout.write(
    options.json ? `${JSON.stringify({ machine: describeMachine(), scale: options.scale, rows })}\n` : page,
  );
}

class ArchiveBench {
  readonly #stage: ArchiveStage;
  readonly #folder: string;
  readonly #options: ArchiveBenchOptions;
  readonly #rows: Row[] = [];

  constructor(stage: ArchiveStage, folder: string, options: ArchiveBenchOptions) {
    this.#stage = stage;
    this.#folder = folder;
    this.#options = options;
  }

  async run(): Promise<readonly Row[]> {
    const { part } = this.#options;
    const wants = (one: ArchivePart) => part === undefined || part === one;
    await this.#createLedger();
    if (wants('capture') || wants('replay')) await this.#waitingChanges(wants);
    if (wants('wide')) await this.#replayWide();
    if (wants('steady')) await this.#steady();
    if (wants('cost')) await this.#cost();
    return this.#rows;
  }

  async #waitingChanges(wants: (one: ArchivePart) => boolean): Promise<void> {
    const timeline = await this.#begin(LEDGER);
    // A copy of the slot keeps the pending changes for each round.
    const slot = archiveName(PLAN, LEDGER);
    await this.#stage.query(LEDGER, `SELECT pg_copy_logical_replication_slot('${slot}', 'kept')`);
    await this.#pgbench(this.#scaled(WAITING_TRANSACTIONS));
    const waiting = await this.#stage.position();
    await this.#pgbench(this.#scaled(ALL_TRANSACTIONS - WAITING_TRANSACTIONS));
    const all = await this.#stage.position();
    if (wants('capture')) await this.#capture(timeline, waiting);
    if (wants('replay')) await this.#replayLedger(timeline, all);
    await this.#stage.query(LEDGER, "SELECT pg_drop_replication_slot('kept')");
    await this.#rest(LEDGER);
  }

  #say(line: string): void {
    process.stderr.write(`${line}\n`);
  }

  #scaled(count: number): number {
    return Math.max(100, Math.round(count * this.#options.scale));
  }

  async #createLedger(): Promise<void> {
    const { postgres } = this.#stage;
    await this.#stage.query('postgres', `CREATE DATABASE ${LEDGER}`);
    await this.#stage.run('pgbench', ['-i', '-q', '-s', '10', postgres.url(LEDGER)]);
    await this.#stage.query(LEDGER, 'ALTER TABLE pgbench_history REPLICA IDENTITY FULL');
    await this.#stage.query('postgres', `CREATE DATABASE ${LEDGER_BASE} TEMPLATE ${LEDGER}`);
  }

  /** Opens an archive and stops: publication, slot and timeline exist then. */
  async #begin(database: string): Promise<Timeline> {
    const request = this.#stage.request(database, 'begin');
    const secret = this.#stage.secretsOf(database);
    const store = await openStore(request.repository, secret);
    const holder = { owner: 'bench', token: randomUUID(), sinceMs: Date.now() };
    const lease = await ArchiveLease.take(store, request, holder);
    const { stored } = await openTimeline({ ...quietVerb(secret), request, store, lease });
    return stored.timeline;
  }

  async #pgbench(transactions: number): Promise<void> {
    this.#say(`Writing ${transactions} transactions …`);
    const each = Math.ceil(transactions / 4);
    await this.#stage.run('pgbench', [
      '-n',
      '-c',
      '4',
      '-j',
      '1',
      '-t',
      String(each),
      this.#stage.postgres.url(LEDGER),
    ]);
  }

  async #capture(timeline: Timeline, until: Lsn): Promise<void> {
    const changes = this.#scaled(WAITING_TRANSACTIONS) * 4;
    const seconds: { readonly holdfast: number[]; readonly peer: number[] } = { holdfast: [], peer: [] };
    let most = 0;
    let peak = 0;
    const archiver = this.#stage.startArchiver();
    const capture = async (prefix: string) => {
      await this.#rewind(LEDGER);
      const request = this.#stage.request(LEDGER, prefix, { segmentBytes: SEGMENT_BYTES });
      return await archiver.archive(request, { timeline, until });
    };
    // A worker is a service, whose code is compiled.
    await capture('capture-warm-up');
    for (let round = 0; round < this.#options.rounds; round += 1) {
      const end = await capture(`capture-${round}`);
      seconds.holdfast.push(end.seconds);
      most = Math.max(most, end.cpuSeconds);
      peak = Math.max(peak, end.peakBytes);
      if (end.transactions < changes / 4)
        throw new Error(`${end.transactions} transactions were archived of ${changes / 4}`);
      this.#say(
        `  holdfast: ${end.seconds.toFixed(2)} s, ${end.cpuSeconds.toFixed(2)} s of CPU, ${end.transactions} transactions in ${end.segments} segments of ${(end.storedBytes / 1e6).toFixed(2)} MB in all`,
      );
      const peer = await this.#receiveLogical(until);
      seconds.peer.push(peer);
      this.#say(`  pg_recvlogical: ${peer.toFixed(2)} s`);
    }
    archiver.stop();
    const [own, peer] = [median(seconds.holdfast), median(seconds.peer)];
    const rate = (value: number) =>
      `${value.toFixed(2)} s, ${(changes / value / 1000).toFixed(0)} k changes/s`;
    const what = `capture of ${changes} waiting changes to S3`;
    this.#rows.push(
      {
        what: `${what}: rate of pg_recvlogical`,
        holdfast: rate(own),
        peer: rate(peer),
        reached: peer / own,
        goal: 'at least 1.0',
      },
      {
        what: `${what}: CPU seconds of the worker, for each second that pg_recvlogical takes`,
        holdfast: `${(peak / 2 ** 20).toFixed(0)} MiB; ${(most / own).toFixed(2)} cores at its own rate`,
        peer: '–',
        reached: most / peer,
        goal: 'at most 0.35',
      },
    );
  }

  /** Resets the archive's slot to its original state. */
  async #rewind(database: string): Promise<void> {
    const slot = archiveName(PLAN, database);
    await this.#dropSlot(database, slot);
    await this.#stage.query(database, `SELECT pg_copy_logical_replication_slot('kept', '${slot}')`);
  }

  async #dropSlot(database: string, slot: string): Promise<void> {
    await this.#free(slot);
    await this.#stage.query(
      database,
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    );
  }

  async #free(slot: string): Promise<void> {
    for (let tries = 0; tries < 600; tries += 1) {
      const rows = await this.#stage.query(
        'postgres',
        `SELECT FROM pg_replication_slots WHERE slot_name = '${slot}' AND active`,
      );
      if (rows.length === 0) return;
      await sleep(50);
    }
  }

  async #receiveLogical(until: Lsn): Promise<number> {
    await this.#stage.query(LEDGER, "SELECT pg_copy_logical_replication_slot('kept', 'peer')");
    const startedAt = performance.now();
    await this.#stage.run('pg_recvlogical', [
      ...[
        '-d',
        this.#stage.postgres.url(LEDGER),
        '--slot',
        'peer',
        '--start',
        '-f',
        '/dev/null',
        '--no-loop',
      ],
      ...['-o', 'proto_version=1', '-o', `publication_names=${archiveName(PLAN, LEDGER)}`],
      ...['--endpos', postgresLsn(until)],
    ]);
    const seconds = (performance.now() - startedAt) / 1_000;
    await this.#free('peer');
    await this.#stage.query(LEDGER, "SELECT pg_drop_replication_slot('peer')");
    return seconds;
  }

  async #replayLedger(timeline: Timeline, until: Lsn): Promise<void> {
    await this.#rewind(LEDGER);
    await this.#stage.archive(this.#stage.request(LEDGER, 'ledger', { lagMs: 500 }), { timeline, until }).end;
    const own = await this.#replay(timeline, LEDGER_BASE, 'ledger');
    const statements = await this.#decode(timeline, 'ledger');
    const copy = await this.#copyOf(LEDGER_BASE);
    const startedAt = performance.now();
    await this.#stage.run('psql', [
      '-X',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-o',
      '/dev/null',
      '-f',
      statements,
      this.#stage.postgres.url(copy),
    ]);
    const peer = (performance.now() - startedAt) / 1_000;
    const sums =
      'SELECT (SELECT sum(abalance) FROM pgbench_accounts) AS a, (SELECT sum(delta) FROM pgbench_history) AS h, (SELECT count(*) FROM pgbench_history) AS n';
    const [one, other] = [await this.#stage.query(own.database, sums), await this.#stage.query(copy, sums)];
    if (JSON.stringify(one) !== JSON.stringify(other)) {
      throw new Error(`the replays differ: ${JSON.stringify(one)} and ${JSON.stringify(other)}`);
    }
    const rate = (seconds: number) =>
      `${seconds.toFixed(2)} s, ${(own.changes / seconds / 1000).toFixed(1)} k changes/s`;
    this.#rows.push({
      what: `replay of ${own.changes} changes of the TPC-B kind: faster than psql`,
      ...{ holdfast: rate(own.seconds), peer: rate(peer), reached: peer / own.seconds, goal: 'at least 10' },
    });
  }

  async #replayWide(): Promise<void> {
    const columns = Array.from(
      { length: WIDE_COLUMNS },
      (_, at) => `c${at} ${at % 4 === 0 ? 'numeric' : 'text'}`,
    );
    await this.#stage.query('postgres', `CREATE DATABASE ${WIDE_BASE}`);
    await this.#stage.query(
      WIDE_BASE,
      `CREATE TABLE wide (id bigint PRIMARY KEY, at timestamptz, ${columns.join(', ')})`,
    );
    await this.#stage.query('postgres', `CREATE DATABASE ${WIDE} TEMPLATE ${WIDE_BASE}`);
    const timeline = await this.#begin(WIDE);
    const rows = this.#scaled(WIDE_ROWS);
    this.#say(`Writing ${rows} wide rows …`);
    const values = Array.from({ length: WIDE_COLUMNS }, (_, at) =>
      at % 4 === 0 ? `i * ${at + 1}.5` : `md5((i * ${at})::text)`,
    );
    const step = Math.min(1_000, rows);
    for (let from = 0; from < rows; from += step) {
      await this.#stage.query(
        WIDE,
        `INSERT INTO wide SELECT i, '2026-11-30', ${values.join(', ')} FROM generate_series(${from + 1}, ${Math.min(rows, from + step)}) i`,
      );
    }
    await this.#stage.archive(this.#stage.request(WIDE, 'wide', { lagMs: 500 }), {
      timeline,
      until: await this.#stage.position(),
    }).end;
    const own = await this.#replay(timeline, WIDE_BASE, 'wide');
    const file = join(this.#folder, 'wide.copy');
    await this.#stage.run('psql', [
      '-X',
      '-q',
      '-c',
      `\\copy wide TO '${file}'`,
      this.#stage.postgres.url(WIDE),
    ]);
    const copy = await this.#copyOf(WIDE_BASE);
    const startedAt = performance.now();
    await this.#stage.run('psql', [
      '-X',
      '-q',
      '-c',
      `\\copy wide FROM '${file}'`,
      this.#stage.postgres.url(copy),
    ]);
    const peer = (performance.now() - startedAt) / 1_000;
    this.#rows.push({
      what: `replay of ${own.changes} inserts of wide rows: time of COPY`,
      holdfast: `${own.seconds.toFixed(2)} s`,
      peer: `${peer.toFixed(2)} s`,
      ...{ reached: own.seconds / peer, goal: 'at most 3' },
    });
  }

  async #copyOf(base: string): Promise<string> {
    const copy = `copy_${randomUUID().slice(0, 8)}`;
    await this.#stage.query('postgres', `CREATE DATABASE ${copy} TEMPLATE ${base}`, 'CHECKPOINT');
    return copy;
  }

  async #replay(
    timeline: Timeline,
    base: string,
    prefix: string,
  ): Promise<{ readonly database: string; readonly seconds: number; readonly changes: number }> {
    const { database } = timeline;
    const request = this.#stage.request(database, prefix);
    const store = await openStore(request.repository, this.#stage.secretsOf(database));
    const segments = chainsOf((await readTimeline(store, request, timeline.id))?.segments ?? []).flat();
    const copy = await this.#copyOf(base);
    const { signal } = new AbortController();
    return await withSession(
      parseConnectionUrl(this.#stage.postgres.url(copy)),
      copy,
      signal,
      async (session) => {
        await session.query('make room', 'CREATE SCHEMA holdfast_restore');
        await createPosition(session);
        const cut = new Cut({
          instantMicros: BigInt(Date.now()) * 2_000n,
          sees: () => false,
          baseMicros: BigInt(microsOfIso(timeline.createdAt)),
          applied: undefined,
        });
        const startedAt = performance.now();
        const messages = readMessages(store, segments, { signal, timeline: timeline.id });
        const position = await replay(session, messages, { cut, includes: () => true });
        const seconds = (performance.now() - startedAt) / 1_000;
        this.#say(`  replay of ${prefix}: ${position?.changes} changes, ${seconds.toFixed(2)} s`);
        return { database: copy, seconds, changes: position?.changes ?? 0 };
      },
    );
  }

  /** Decodes an archive to SQL with the script that is stored in it. */
  async #decode(timeline: Timeline, prefix: string): Promise<string> {
    const root = join(this.#stage.gateway.directory, 'bench');
    const request = this.#stage.request(timeline.database, prefix);
    const store = await openStore(request.repository, this.#stage.secretsOf(timeline.database));
    const segments = chainsOf((await readTimeline(store, request, timeline.id))?.segments ?? []).flat();
    const file = join(this.#folder, `${prefix}.sql`);
    const args = [
      join(root, 'begin', decoderKey(PLAN)),
      ...segments.map(({ key }) => join(root, prefix, key)),
    ];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const to = createWriteStream(file);
    child.stdout.pipe(to);
    await once(to, 'close');
    return file;
  }

  async #steady(): Promise<void> {
    const seconds = Math.max(10, Math.round(STEADY_SECONDS * this.#options.scale));
    await this.#rest(LEDGER);
    const archiver = this.#stage.archive(this.#stage.request(LEDGER, 'steady'));
    await this.#stage.streamed();
    this.#say(`Writing ${STEADY_TPS * 4} changes a second for ${seconds} s …`);
    const out = await this.#stage.run('pgbench', [
      ...['-n', '-c', '4', '-j', '1', '-T', String(seconds), '-R', String(STEADY_TPS)],
      this.#stage.postgres.url(LEDGER),
    ]);
    archiver.child.kill('SIGTERM');
    const end = await archiver.end;
    const { lagMs } = this.#stage.request(LEDGER, '').policy;
    const lags = archiver.stored.map(
      ({ atMs }, at) => atMs - (archiver.stored[at - 1]?.storedUntilMicros ?? atMs * 1000) / 1000,
    );
    const worst = Math.max(...lags) / 1_000;
    const half = archiver.stored.slice(archiver.stored.length / 2);
    const growth = (half.at(-1)?.residentBytes ?? 0) - (half[0]?.residentBytes ?? 0);
    const written = `${tpsOf(out).toFixed(0)} transactions/s written`;
    this.#rows.push(
      {
        what: `${STEADY_TPS * 4} changes/s for ${seconds} s: longest lag, seconds`,
        holdfast: written,
        peer: '–',
        reached: worst,
        goal: `below ${lagMs / 1_000 + 2}`,
      },
      {
        what: 'the same: peak memory, MiB',
        holdfast: `${(growth / 2 ** 20).toFixed(0)} MiB more at the end than half-way`,
        peer: '–',
        reached: end.peakBytes / 2 ** 20,
        goal: 'below 300, flat',
      },
    );
    await this.#rest(LEDGER);
  }

  /** Drops the archive's slot, so that it retains no WAL. */
  async #rest(database: string): Promise<void> {
    await this.#dropSlot(database, archiveName(PLAN, database));
    await this.#stage.query(database, 'CHECKPOINT');
  }

  async #cost(): Promise<void> {
    const seconds = Math.max(3, Math.round(COST_SECONDS * this.#options.scale));
    const tps: Record<'none' | 'archive' | 'receivewal', number[]> = {
      none: [],
      archive: [],
      receivewal: [],
    };
    const write = async () =>
      tpsOf(
        await this.#stage.run('pgbench', [
          ...['-n', '-c', '4', '-j', '1', '-T', String(seconds), this.#stage.postgres.url(LEDGER)],
        ]),
      );
    for (let round = 0; round < this.#options.rounds; round += 1) {
      tps.none.push(await write());
      const archiver = this.#stage.archive(this.#stage.request(LEDGER, `cost-${round}`));
      await this.#stage.streamed();
      tps.archive.push(await write());
      archiver.child.kill('SIGTERM');
      await archiver.end;
      await this.#rest(LEDGER);
      const directory = join(this.#folder, `wal-${round}`);
      await mkdir(directory);
      const receiver = spawn(
        join(this.#stage.postgres.binDirectory, 'pg_receivewal'),
        ['-D', directory, '-d', this.#stage.postgres.url()],
        {
          stdio: ['ignore', 'ignore', 'inherit'],
        },
      );
      const ended = once(receiver, 'close');
      await this.#stage.streamed();
      tps.receivewal.push(await write());
      receiver.kill('SIGINT');
      await ended;
      await rm(directory, { recursive: true });
    }
    const [none, own, peer] = [median(tps.none), median(tps.archive), median(tps.receivewal)];
    const withShare = (value: number) =>
      `${value.toFixed(0)} tps, ${((value / none) * 100).toFixed(0)} % of without`;
    this.#rows.push({
      what: 'pgbench with the archive: tps, in shares of those with pg_receivewal',
      ...{ holdfast: withShare(own), peer: withShare(peer), reached: own / peer, goal: 'at least 0.95' },
    });
  }
}

function tpsOf(printed: string): number {
  const tps = /^tps = ([\d.]+)/m.exec(printed)?.[1];
  if (tps === undefined) throw new Error(`pgbench told no rate: ${printed}`);
  return Number(tps);
}

function render(rows: readonly Row[], { scale, rounds }: ArchiveBenchOptions): string {
  return `# The archive of changes

[Benchmarks](benchmarks.md)

Written by \`npm run bench -- archive --write\` on ${new Date().toISOString().slice(0, 10)}: ${describeMachine()}; everything on one machine, loopback, PostgreSQL without fsync, an S3 gateway. Scale ${scale}, ${rounds} rounds, medians.
Archived by a process of its own, whose code was compiled by an archive before, with zstd and SHA-256; replayed over one session. Compare ratios, not seconds: machines are noisy.

| what | holdfast | peer | reached | goal |
|---|---|---|---|---|
${rows.map(({ what, holdfast, peer, reached, goal }) => `| ${what} | ${holdfast} | ${peer} | ${reached.toFixed(2)} | ${goal} |`).join('\n')}
`;
}
