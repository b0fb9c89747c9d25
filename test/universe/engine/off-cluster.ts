import { setTimeout as sleep } from 'node:timers/promises';
import { pendingExports } from '../../../engines/universe/off-cluster/pending.ts';
import type { BackupRef } from '../../../model/backup.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { PendingExports } from '../../../model/off-cluster.ts';
import type { CatalogueEntry } from '../../../model/recovery.ts';
import { planRecovery } from '../../../planning/recovery/plan.ts';
import { readManifest } from '../../../repository/backups/manifest.ts';
import { readCatalogue } from '../../../repository/catalogue.ts';
import { writeScheduleRecord } from '../../../repository/in-cluster.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { said } from '../by-hand.ts';
import type { Universe } from '../launcher.ts';
import { backUp, contextOf, newRef, patiently, type Rig, restore } from './rig.ts';

/**
 * A database whose rows change and whose schema is altered while a snapshot schedule takes snapshots and each of them is exported; and a model that knows
 * every transaction. Then any instant is asked for: what is restored equals the model, or it is refused, with neighbours.
 */

/** Numbers from 0 (included) to 1; the same seed gives the same ones. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Rows = Readonly<Record<string, readonly unknown[]>>;

/** A transaction, or a change of the schema, and what there was after it. Times in milliseconds since 1970, by the one clock of this machine. */
interface Event {
  readonly kind: 'rows' | 'ddl';
  readonly beginMs: number;
  readonly endMs: number;
  readonly rows: Rows;
}

export const DATABASE = 'ledger';

export class Ledger {
  readonly #rig: Rig;
  readonly #random: () => number;
  readonly events: Event[] = [];
  readonly #looks: { readonly beginMs: number; readonly endMs: number }[] = [];
  #id = 1_000;
  #columns = 0;
  #tables = 0;

  constructor(rig: Rig, random: () => number) {
    this.#rig = rig;
    this.#random = random;
  }

  get #url(): string {
    return this.#rig.universe.ysql(DATABASE);
  }

  /** The database, its snapshot schedule, and the record that says that it is the plan's own. */
  async begin(): Promise<void> {
    const { universe, store } = this.#rig;
    await query(universe.ysql('yugabyte'), `CREATE DATABASE ${DATABASE}`);
    await this.#do('ddl', [
      'CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, note text)',
      'CREATE INDEX accounts_by_balance ON accounts (balance)',
      'CREATE TABLE log (line text)',
      "INSERT INTO accounts SELECT i, i * 10, 'note ' || i FROM generate_series(1, 40) i",
    ]);
    await said(universe, 'create_snapshot_schedule', '15', '240', `ysql.${DATABASE}`);
    const { schedules } = await universe.view();
    const schedule = schedules.at(-1)?.id ?? '';
    const limits = { intervalMs: 15 * 60_000, retentionMs: 240 * 60_000 };
    const since = new Date().toISOString();
    const namespace = `ysql.${DATABASE}`;
    await writeScheduleRecord(store, { plan: 'rig', namespace, schedule, adopted: false, ...limits, since });
    await this.#complete(1);
  }

  /** One transaction. */
  async write(): Promise<void> {
    const pick = (count: number) => Math.floor(this.#random() * count);
    const statements: string[] = [];
    for (let left = 1 + pick(4); left > 0; left -= 1) {
      const id = pick(2) === 0 ? 1 + pick(40) : 1_000 + pick(Math.max(1, this.#id - 1_000));
      switch (pick(5)) {
        case 0:
          this.#id += 1;
          statements.push(
            `INSERT INTO accounts (id, balance, note) VALUES (${this.#id}, ${pick(1_000)}, E'new\\t${pick(9)}')`,
          );
          break;
        case 1:
          statements.push(`DELETE FROM accounts WHERE id = ${id}`);
          break;
        case 2:
          statements.push(`UPDATE accounts SET balance = balance + ${pick(50)} WHERE id % 7 = ${pick(7)}`);
          break;
        case 3:
          statements.push(`UPDATE accounts SET note = NULL, balance = ${pick(50)} WHERE id = ${id}`);
          break;
        default:
          statements.push(`INSERT INTO log VALUES ('line ${pick(5)}')`);
      }
    }
    await this.#do('rows', statements);
  }

  async alter(): Promise<void> {
    if (this.#random() < 0.6) {
      this.#columns += 1;
      await this.#do('ddl', [
        `ALTER TABLE accounts ADD COLUMN c${this.#columns} int DEFAULT ${this.#columns}`,
      ]);
    } else {
      this.#tables += 1;
      await this.#do('ddl', [
        `CREATE TABLE extra_${this.#tables} (id int PRIMARY KEY, v text)`,
        `INSERT INTO extra_${this.#tables} VALUES (1, 'x')`,
      ]);
    }
  }

  async #do(kind: Event['kind'], statements: readonly string[]): Promise<void> {
    await sleep(3);
    const beginMs = Date.now();
    await query(this.#url, 'BEGIN', ...statements, 'COMMIT');
    const endMs = Date.now() + 1;
    await sleep(3);
    this.events.push({ kind, beginMs, endMs, rows: await contentsOf(this.#rig.universe, DATABASE) });
  }

  async #complete(count: number): Promise<void> {
    await eventually(`${count} scheduled snapshots are complete`, async () => {
      const { snapshots } = await this.#rig.universe.view();
      return (
        snapshots.filter(({ schedule, state }) => schedule !== undefined && state === 'COMPLETE').length >=
        count
      );
    });
  }

  /** The schedule's next snapshot. */
  async snapshot(): Promise<void> {
    await sleep(5);
    const { snapshots } = await this.#rig.universe.view();
    const before = snapshots.filter(({ schedule }) => schedule !== undefined).length;
    await this.#rig.universe.act({ do: 'takeScheduled' });
    await this.#complete(before + 1);
    await sleep(5);
  }

  /** What an export's run does first: looks at the schema, and at what is to be exported. */
  async look(): Promise<PendingExports> {
    const { store, source } = this.#rig;
    const beginMs = Date.now();
    const pending = await patiently(() =>
      pendingExports(contextOf(this.#rig, newRef()), store, 'rig', source),
    );
    this.#looks.push({ beginMs, endMs: Date.now() });
    return pending;
  }

  async export(): Promise<readonly Manifest[]> {
    const manifests: Manifest[] = [];
    for (const pending of (await this.look()).exports)
      manifests.push((await backUp(this.#rig, { pending })).manifest);
    return manifests;
  }

  async entries(): Promise<readonly CatalogueEntry[]> {
    const { repository } = newRef();
    return (await readCatalogue(this.#rig.store, repository, 'rig')).entries;
  }

  /** All that may be right for an instant: a transaction that was under way then is in it, or not. */
  statesAt(ms: number): readonly Rows[] {
    const certain = this.events.findLastIndex(({ endMs }) => endMs <= ms);
    const possible = this.events.findLastIndex(({ beginMs }) => beginMs <= ms);
    return this.events.slice(Math.max(0, certain), possible + 1).map(({ rows }) => rows);
  }

  /** Asks for an instant as an operator does; returns what is wrong with the answer. */
  async ask(ms: number, into: string): Promise<Answer> {
    const to = new Date(ms).toISOString();
    const entries = await this.entries();
    const decision = planRecovery([{ kind: 'backups', entries }], { to }, { now: new Date() });
    if (decision.kind === 'refused')
      return { kind: 'refused', problem: this.#problemOf(decision, ms, entries) };
    if (decision.way !== 'snapshot' && decision.way !== 'backup')
      return { kind: 'restored', problem: `it would go by ${decision.way}` };
    const ref: BackupRef = { ...newRef(), backup: decision.backup };
    const manifest = await readManifest(this.#rig.store, ref);
    const at = decision.way === 'snapshot' ? { at: decision.instant } : {};
    const { outcome, error } = await restore(
      this.#rig,
      { ref, manifest },
      { [DATABASE]: into },
      undefined,
      undefined,
      at,
    );
    if (outcome === undefined) return { kind: 'restored', problem: `${error.code}: ${error.message}` };
    const found = JSON.stringify(await contentsOf(this.#rig.universe, into));
    await query(this.#rig.universe.ysql('yugabyte'), `DROP DATABASE ${into}`);
    const right = this.statesAt(ms).some((rows) => JSON.stringify(rows) === found);
    return {
      kind: 'restored',
      problem: right ? undefined : `${to} by ${decision.way} ${decision.backup} is not what the model has`,
    };
  }

  /** A refusal is right where nobody has looked at the schema between its last change and the instant; and what is offered can be reached. */
  #problemOf(
    { code, before, after }: { readonly code: string; readonly before?: string; readonly after?: string },
    ms: number,
    entries: readonly CatalogueEntry[],
  ): string | undefined {
    const told = `${new Date(ms).toISOString()} is refused: ${code}, before ${before}, after ${after}`;
    if (after === undefined) return `${told}; nothing after it is offered`;
    if (before === undefined && ms > Date.parse(after)) return `${told}; nothing before it is offered`;
    for (const to of [before, after].filter((one) => one !== undefined)) {
      const { kind } = planRecovery([{ kind: 'backups', entries }], { to }, { now: new Date() });
      if (kind === 'refused') return `${told}; what is offered, ${to}, is refused too`;
    }
    const last = this.events.findLast(({ kind, beginMs }) => kind === 'ddl' && beginMs <= Date.parse(after));
    const barred = last === undefined || last.endMs >= ms || !this.#lookedBetween(last.endMs, ms);
    if (code !== 'INSTANT_BEFORE_DDL') return `${told}; it is no refusal for DDL`;
    return barred ? undefined : `${told}; the schema was looked at since its last change`;
  }

  /** A look counts from a second after it. */
  #lookedBetween(fromMs: number, toMs: number): boolean {
    return this.#looks.some(({ beginMs, endMs }) => fromMs <= beginMs && endMs + 1_000 <= toMs);
  }
}

export interface Answer {
  readonly kind: 'restored' | 'refused';
  readonly problem: string | undefined;
}

/** Every table with its rows in an order of their own. */
export async function contentsOf(universe: Universe, database: string): Promise<Rows> {
  const url = universe.ysql(database);
  const tables = await query(
    url,
    "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname",
  );
  const rows: Record<string, readonly unknown[]> = {};
  for (const { name } of tables) {
    const found = await query(url, `SELECT t::text AS row FROM ${name} t ORDER BY 1`);
    rows[name] = found.map(({ row }) => row);
  }
  return rows;
}
