import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeHead } from '../../../engines/ysql/archive/messages.ts';
import { archiveEnd } from '../../../engines/ysql/archive/open.ts';
import { archiveName } from '../../../engines/ysql/server/archive-names.ts';
import { isoOfMicros, parseLsn, type StoredTimeline } from '../../../model/archive.ts';
import { messageOf } from '../../../model/errors.ts';
import { archiveWindow, chainsOf } from '../../../planning/archive/window.ts';
import { framesOf, readSegment, readTimelines } from '../../../repository/archive/archive.ts';
import type { CrashPoint } from '../../../repository/crash-points.ts';
import { Dice } from '../../crash/dice.ts';
import { holdfast, holdfastJson } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { DATABASE, type KillStage, PLAN, startKillStage } from './kill-stage.ts';
import { contradictions, journalOf, LedgerWriter } from './ledger.ts';

export interface KillOptions {
  readonly seed: number;
  /** During capture. */
  readonly kills: number;
  /** During replays. */
  readonly replayKills: number;
  say(line: string): void;
}

export interface KillReport {
  readonly struck: Readonly<Record<string, number>>;
  readonly struckInReplay: Readonly<Record<string, number>>;
  readonly restores: number;
  readonly transactions: number;
  readonly problems: readonly string[];
}

const VICTIMS = ['worker', 'worker at a point', 'temporal', 'gateway', 'database'] as const;
type Victim = (typeof VICTIMS)[number];

/** No part may keep the archive from going on for longer. */
const GOES_ON_WITHIN_MS = 240_000;
/** So that there is something to replay, however few parts are killed before. */
const WRITTEN_AT_LEAST_MS = 20_000;
const POINT_WITHIN_MS = 20_000;
/** `Workers` looks for missing ones each half second. */
const NOTICED_WITHIN_MS = 1_500;

/** Kills parts of an archive while it captures, and while it is replayed, and says where a transaction is lost, doubled or unstored. */
export async function runKills(options: KillOptions): Promise<KillReport> {
  const stage = await startKillStage();
  try {
    return await new Kills(stage, options).run();
  } finally {
    await stage.stop();
  }
}

class Kills {
  readonly #stage: KillStage;
  readonly #options: KillOptions;
  readonly #dice: Dice;
  readonly #problems: string[] = [];
  readonly #struck: Record<string, number> = {};
  readonly #struckInReplay: Record<string, number> = {};

  constructor(stage: KillStage, options: KillOptions) {
    this.#stage = stage;
    this.#options = options;
    this.#dice = new Dice(options.seed);
  }

  async run(): Promise<KillReport> {
    const { file, environment, postgres, workers } = this.#stage;
    const { kills, replayKills, say } = this.#options;
    const writer = new LedgerWriter(postgres.url(DATABASE), new Dice(this.#options.seed + 1));
    let restores = 0;
    try {
      const applied = await holdfast(['apply', file, '--yes'], environment);
      if (applied.code !== 0) throw new Error(`apply failed: ${applied.stdout}${applied.stderr}`);
      await eventually('there is a base backup', async () => {
        const { backups } = await holdfastJson<{ backups: readonly object[] }>(['list', file], environment);
        return backups.length > 0;
      });
      const writtenUntil = Date.now() + WRITTEN_AT_LEAST_MS;
      for (let kill = 0; kill < kills; kill += 1) {
        const victim = VICTIMS[kill % VICTIMS.length] ?? 'worker';
        await sleep(this.#dice.between(0, 2_000));
        const startedAt = Date.now();
        const isStruck = await this.#strike(victim, ['archive-stored']);
        if (isStruck) this.#struck[victim] = (this.#struck[victim] ?? 0) + 1;
        await this.#goesOn();
        say(
          `capture, kill ${kill + 1}: ${victim}${isStruck ? '' : ' (not struck)'}, archived again after ${Math.round((Date.now() - startedAt) / 1000)} s`,
        );
      }
      await sleep(Math.max(0, writtenUntil - Date.now()));
    } finally {
      await writer.stop();
    }
    await this.#goesOn();
    const archived = await this.#inspect();
    for (let done = 0; done < replayKills; restores += 1) done += await this.#restore(restores, archived);
    this.#problems.push(...workers.takeOwnExits());
    return {
      struck: this.#struck,
      struckInReplay: this.#struckInReplay,
      restores,
      transactions: archived.length,
      problems: this.#problems,
    };
  }

  /** Whether something was killed. */
  async #strike(victim: Victim, points: readonly CrashPoint[]): Promise<boolean> {
    const { temporal, gateway, postgres, workers } = this.#stage;
    const awayMs = this.#dice.between(0, 2_000);
    switch (victim) {
      case 'worker':
        await workers.ready();
        return (await workers.kill(0, awayMs)) !== undefined;
      case 'worker at a point':
        await workers.ready();
        return await this.#atPoint(this.#dice.pick(points));
      case 'temporal':
        await temporal.kill9();
        await sleep(awayMs);
        await temporal.restart();
        return true;
      case 'gateway':
        await gateway.kill9();
        await sleep(awayMs);
        await gateway.restart();
        return true;
      case 'database':
        await postgres.kill9();
        await sleep(awayMs);
        await postgres.restart();
        return true;
    }
  }

  /** The worker kills itself where it comes by; it is then started again, and that is no end of its own making. Whether it came by. */
  async #atPoint(point: CrashPoint): Promise<boolean> {
    const { points, workers } = this.#stage;
    this.#problems.push(...workers.takeOwnExits());
    await writeFile(path.join(points, point), '');
    const deadline = Date.now() + POINT_WITHIN_MS;
    while (Date.now() < deadline) {
      if (workers.takeOwnExits().length > 0) return true;
      await sleep(100);
    }
    await rm(path.join(points, point), { force: true });
    // It may have come by just now.
    await sleep(NOTICED_WITHIN_MS);
    return workers.takeOwnExits().length > 0;
  }

  /** What was committed by now is stored soon. Meanwhile nothing is acknowledged that isn't. */
  async #goesOn(): Promise<void> {
    const [place] = await query(
      this.#stage.postgres.url(),
      'SELECT pg_current_wal_insert_lsn()::text AS lsn',
    );
    const lsn = parseLsn(String(place?.lsn)) ?? '';
    const deadline = Date.now() + GOES_ON_WITHIN_MS;
    while (Date.now() < deadline) {
      const newest = await this.#lookAtAcknowledged();
      if (newest !== undefined && newest.end === undefined && archiveEnd(newest) >= lsn) return;
      await sleep(100);
    }
    this.#problems.push(`what was committed at ${lsn} is not stored after ${GOES_ON_WITHIN_MS / 1000} s`);
  }

  /** The slot is asked first: storage only grows, so what was acknowledged must be there a moment later. */
  async #lookAtAcknowledged(): Promise<StoredTimeline | undefined> {
    const [slot] = await query(
      this.#stage.postgres.url(),
      `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${archiveName(PLAN, DATABASE)}'`,
    );
    const acknowledged = slot === undefined ? undefined : parseLsn(String(slot.lsn));
    const newest = (await this.#timelines()).at(-1);
    if (newest === undefined || newest.end !== undefined || acknowledged === undefined) return newest;
    if (acknowledged > archiveEnd(newest)) {
      this.#problems.push(`${acknowledged} is acknowledged, and the archive ends at ${archiveEnd(newest)}`);
    }
    return newest;
  }

  #timelines(): Promise<readonly StoredTimeline[]> {
    return readTimelines(this.#stage.store, { plan: PLAN, database: DATABASE });
  }

  /** Each transaction of the source is in the archive once, in commit order. Returns them. */
  async #inspect(): Promise<readonly Archived[]> {
    const timelines = await this.#timelines();
    for (const { reason } of archiveWindow(DATABASE, timelines).holes)
      this.#problems.push(`a hole: ${reason}`);
    const archived: Archived[] = [];
    for (const { segments } of timelines) {
      for (const segment of chainsOf(segments).flat()) {
        let isHeader = true;
        for await (const frame of framesOf(readSegment(this.#stage.store, segment), segment.key)) {
          const message = isHeader ? undefined : decodeHead(frame);
          isHeader = false;
          if (message?.kind === 'begin')
            archived.push({ xid: message.xid, lsn: message.commitLsn, micros: 0 });
          const last = archived.at(-1);
          if (message?.kind === 'commit' && last !== undefined) {
            archived.splice(-1, 1, { ...last, micros: Number(message.commitMicros) });
          }
        }
      }
    }
    const journal = await journalOf(this.#stage.postgres.url(DATABASE));
    const once = new Set(archived.map(({ xid }) => xid));
    if (once.size !== archived.length)
      this.#problems.push(`${archived.length - once.size} transactions are archived twice`);
    if (archived.some(({ lsn }, at) => lsn <= (archived[at - 1]?.lsn ?? -1n)))
      this.#problems.push('the archive is not in commit order');
    // Those of before the timeline are the base's.
    const first = Math.min(...once);
    const lost = [...journal].filter((xid) => xid > first && !once.has(xid));
    if (lost.length > 0)
      this.#problems.push(`${lost.length} transactions are lost: ${lost.slice(0, 5).join(', ')}`);
    const invented = [...once].filter((xid) => !journal.has(xid));
    if (invented.length > 0)
      this.#problems.push(`archived and never committed: ${invented.slice(0, 5).join(', ')}`);
    this.#options.say(`${archived.length} transactions archived, the source has ${journal.size}`);
    return archived;
  }

  /** Restores a random instant while parts are killed. Returns the number of kills. */
  async #restore(number: number, archived: readonly Archived[]): Promise<number> {
    const { file, environment, postgres } = this.#stage;
    const into = `copy_${number}_${randomUUID().slice(0, 8)}`;
    const { micros } = this.#dice.pick(archived.slice(Math.floor(archived.length / 3)));
    // Instants are told to the millisecond.
    const instant =
      Math.min(Math.ceil(micros / 1000), Math.floor((archived.at(-1)?.micros ?? 0) / 1000)) * 1000;
    const to = `${isoOfMicros(instant).slice(0, -4)}Z`;
    let isOver = false;
    const restoring = holdfast(['restore', file, '--to', to, '--into', into, '--json'], environment).finally(
      () => {
        isOver = true;
      },
    );
    let strikes = 0;
    for (let tries = 0; tries < 4; tries += 1) {
      await sleep(this.#dice.between(500, 5_000));
      if (isOver) break;
      const victim = this.#dice.pick(VICTIMS);
      if (!(await this.#strike(victim, ['replay-before-commit', 'replay-committed']))) continue;
      strikes += 1;
      this.#struckInReplay[victim] = (this.#struckInReplay[victim] ?? 0) + 1;
      this.#options.say(`replay ${number + 1}: ${victim}`);
    }
    const { code, stdout, stderr } = await restoring;
    // The only worker was away for longer than the command waits: nothing has begun.
    if (code !== 0 && stdout.includes('"NO_WORKER"')) {
      this.#options.say(`replay ${number + 1}: refused, no worker answered`);
      return strikes;
    }
    if (code !== 0) {
      this.#problems.push(
        `restore to ${to} ended with ${code}: ${stdout.slice(0, 1_000)} ${stderr.slice(-1_000)}`,
      );
      return strikes;
    }
    const url = postgres.url(into);
    const cut = archived.findIndex((transaction) => transaction.micros > instant);
    const later = new Set(archived.slice(cut < 0 ? archived.length : cut).map(({ xid }) => xid));
    const expected = [...(await journalOf(postgres.url(DATABASE)))].filter((xid) => !later.has(xid));
    const restored = await journalOf(url);
    const lost = expected.filter((xid) => !restored.has(xid));
    if (lost.length > 0 || restored.size !== expected.length) {
      this.#problems.push(
        `restored to ${to}: ${restored.size} transactions instead of ${expected.length}; lost ${lost.slice(0, 5).join(', ')}`,
      );
    }
    this.#problems.push(...(await contradictions(url)).map((told) => `restored to ${to}: ${told}`));
    await query(postgres.url(), `DROP DATABASE "${into}" WITH (FORCE)`);
    this.#options.say(
      `replay ${number + 1}: ${strikes} kills, ${restored.size} transactions, ${messageOf(this.#problems.at(-1) ?? 'equal')}`,
    );
    return strikes;
  }
}

interface Archived {
  readonly xid: number;
  readonly lsn: bigint;
  readonly micros: number;
}
