import type { Client } from 'cassandra-driver';
import { isMultiCell, parseType } from '../../../engines/ycql/cql-type.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import type { Dice } from '../../crash/dice.ts';
import { keyText } from './read-table.ts';
import { quoted, type RandomColumn, type RandomSchema, type RandomTable } from './schemas.ts';
import { elements, int32, int64, randomValue, type TypeFields, whole } from './values.ts';

export interface WorkloadOptions {
  readonly dice: Dice;
  readonly types: TypeFields;
  /** Parts of collections with times of their own; YCQL has no such thing. */
  readonly hasParts: boolean;
  /** Microseconds since 1970 of the next write; grows, so that what comes later wins. Absent: the server's own time. */
  readonly clock?: Clock;
}

export interface Clock {
  micros: bigint;
}

export type Key = readonly Buffer[];

/** Seconds of TTLs that end soon. */
export type Near = readonly [from: number, to: number];

interface Statement {
  readonly query: string;
  readonly params: readonly (Buffer | null)[];
}

/** Rows that are written at once: each row's own statements come one after another. */
const ROWS_AT_ONCE = 24;

/**
 * Random writes to one table, row by row: whole rows, single columns, parts of collections, deletions. What is written is settled before
 * the first statement runs, so that a seed writes the same however fast the server is.
 */
export class Workload {
  readonly keys: Key[] = [];
  readonly #client: Client;
  readonly #keyspace: string;
  readonly #table: RandomTable;
  readonly #options: WorkloadOptions;
  #near: Near = [0, 0];

  constructor(client: Client, keyspace: string, table: RandomTable, options: WorkloadOptions) {
    this.#client = client;
    this.#keyspace = keyspace;
    this.#table = table;
    this.#options = options;
  }

  async fill(rows: number, near: Near): Promise<void> {
    const { dice } = this.#options;
    this.#near = near;
    const known = new Map<string, Key>();
    const chains: (readonly Statement[])[] = [];
    let partition: Key = [];
    for (let row = 0; row < rows; row += 1) {
      // Several rows to a partition.
      if (row % 4 === 0 || this.#table.clustering.length === 0)
        partition = this.#keyOf(this.#table.partition);
      const key = [...partition, ...this.#keyOf(this.#table.clustering)];
      known.set(keyText(key), key);
      const statements = Array.from({ length: whole(dice, 1, 4) }, () => this.#write(key));
      if (dice.chance(0.06)) statements.push(this.#deleteRow(key));
      chains.push(statements.flat());
    }
    this.keys.push(...known.values());
    for (let lone = 0; lone < 2 && this.#table.statics.length > 0; lone += 1)
      chains.push(this.#writeStatics(this.#keyOf(this.#table.partition)));
    await this.#run(chains);
  }

  /** Changes each of these rows once, by one statement, which is atomic to whoever reads the row. */
  async change(keys: readonly Key[], near: Near): Promise<void> {
    const { dice } = this.#options;
    this.#near = near;
    const isDeleted = () => dice.chance(0.3) && !this.#table.isCounter;
    await this.#run(keys.map((key) => (isDeleted() ? this.#deleteRow(key) : this.#write(key))));
  }

  #write(key: Key): readonly Statement[] {
    const { dice } = this.#options;
    const { statics, regulars, isCounter } = this.#table;
    if (isCounter) return this.#count(key);
    const roll = dice.number();
    if (statics.length > 0 && roll < 0.15) return this.#writeStatics(key);
    if (regulars.length > 0 && roll < 0.6) return this.#update(key);
    if (roll < 0.66 && regulars.length > 0) return this.#deleteColumn(key);
    return this.#insert(key);
  }

  async #run(chains: readonly (readonly Statement[])[]): Promise<void> {
    await forEachBounded(chains, ROWS_AT_ONCE, async (statements) => {
      for (const { query, params } of statements)
        await this.#client.execute(query, [...params], { prepare: true });
    });
  }

  #keyOf(columns: readonly RandomColumn[]): Key {
    return columns.map(({ type }) => {
      const value = randomValue(parseType(type), this.#options.types, this.#options.dice);
      // The first column of a partition key can't be empty.
      return value.length === 0 ? Buffer.from('k') : value;
    });
  }

  get #place(): string {
    return `${this.#keyspace}.${quoted(this.#table.name)}`;
  }

  #using(withTtl: boolean): { readonly text: string; readonly params: readonly Buffer[] } {
    const { clock, dice } = this.#options;
    const parts: string[] = [];
    const params: Buffer[] = [];
    if (clock !== undefined) {
      clock.micros += BigInt(whole(dice, 1, 5_000));
      parts.push('TIMESTAMP ?');
      params.push(int64(clock.micros));
    }
    if (withTtl && dice.chance(0.45)) {
      parts.push('TTL ?');
      params.push(int32(dice.chance(0.3) ? whole(dice, ...this.#near) : whole(dice, 100_000, 5_000_000)));
    }
    return { text: parts.length === 0 ? '' : ` USING ${parts.join(' AND ')}`, params };
  }

  #where(columns: readonly RandomColumn[]): string {
    return columns.map(({ name }) => `${quoted(name)} = ?`).join(' AND ');
  }

  get #keyColumns(): readonly RandomColumn[] {
    return [...this.#table.partition, ...this.#table.clustering];
  }

  #insert(key: Key): readonly Statement[] {
    const { dice, types } = this.#options;
    const chosen = this.#table.regulars.filter(() => dice.chance(0.7));
    const names = [...this.#keyColumns, ...chosen].map(({ name }) => quoted(name));
    const values = chosen.map(({ type }) => randomValue(parseType(type), types, dice));
    const using = this.#using(true);
    const query = `INSERT INTO ${this.#place} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})${using.text}`;
    return [{ query, params: [...key, ...values, ...using.params] }];
  }

  #update(key: Key): readonly Statement[] {
    return this.#set(this.#options.dice.pick(this.#table.regulars), key, this.#keyColumns);
  }

  #writeStatics(key: Key): readonly Statement[] {
    if (this.#table.isCounter) return [];
    const { partition, statics } = this.#table;
    return this.#set(this.#options.dice.pick(statics), key.slice(0, partition.length), partition);
  }

  #set(column: RandomColumn, key: Key, where: readonly RandomColumn[]): readonly Statement[] {
    const { dice, types, hasParts } = this.#options;
    const type = parseType(column.type);
    const name = quoted(column.name);
    const isPart = hasParts && isMultiCell(type) && dice.chance(0.6);
    let [assignment, value] = [`${name} = ?`, randomValue(type, types, dice)];
    if (isPart && type.kind !== 'udt') assignment = `${name} = ${name} + ?`;
    if (isPart && type.kind === 'list') value = elements([int32(whole(dice, 0, 9))]);
    const field = isPart && type.kind === 'udt' ? dice.pick(types.get(type.name) ?? []) : undefined;
    if (field !== undefined) {
      assignment = `${name}.${quoted(field.name)} = ?`;
      value = randomValue(parseType(field.type), types, dice);
    }
    const using = this.#using(true);
    const query = `UPDATE ${this.#place}${using.text} SET ${assignment} WHERE ${this.#where(where)}`;
    return [{ query, params: [...using.params, value, ...key] }];
  }

  #deleteColumn(key: Key): readonly Statement[] {
    const { name } = this.#options.dice.pick(this.#table.regulars);
    const using = this.#using(false);
    const query = `DELETE ${quoted(name)} FROM ${this.#place}${using.text} WHERE ${this.#where(this.#keyColumns)}`;
    return [{ query, params: [...using.params, ...key] }];
  }

  #deleteRow(key: Key): readonly Statement[] {
    if (this.#table.isCounter) return [];
    const using = this.#using(false);
    const query = `DELETE FROM ${this.#place}${using.text} WHERE ${this.#where(this.#keyColumns)}`;
    return [{ query, params: [...using.params, ...key] }];
  }

  #count(key: Key): readonly Statement[] {
    const { dice } = this.#options;
    const { name } = dice.pick(this.#table.regulars);
    const query = `UPDATE ${this.#place} SET ${quoted(name)} = ${quoted(name)} + ? WHERE ${this.#where(this.#keyColumns)}`;
    return [{ query, params: [int64(BigInt(whole(dice, -50, 50))), ...key] }];
  }
}

/** A workload for each table of a schema. */
export function workloadsOf(
  client: Client,
  keyspace: string,
  { tables }: RandomSchema,
  options: WorkloadOptions,
): readonly Workload[] {
  return tables.map((table) => new Workload(client, keyspace, table, options));
}
