import type { Client } from 'cassandra-driver';
import { isMultiCell, parseType } from '../../../engines/ycql/cql-type.ts';
import type { Dice } from '../../crash/dice.ts';
import { quoted, type RandomColumn, type RandomSchema, type RandomTable } from './schemas.ts';
import { elements, int32, int64, randomValue, type TypeFields, whole } from './values.ts';

export interface WorkloadOptions {
  readonly dice: Dice;
  readonly types: TypeFields;
  /** Seconds of TTLs that end soon. */
  readonly near: readonly [from: number, to: number];
  /** Parts of collections with times of their own; YCQL has no such thing. */
  readonly hasParts: boolean;
  /** Microseconds since 1970 of the next write; grows, so that what comes later wins. Absent: the server's own time. */
  readonly clock?: Clock;
}

export interface Clock {
  micros: bigint;
}

type Key = readonly Buffer[];

/** Random writes to one table, row by row: whole rows, single columns, parts of collections, deletions. */
export class Workload {
  readonly keys: Key[] = [];
  readonly #client: Client;
  readonly #keyspace: string;
  readonly #table: RandomTable;
  readonly #options: WorkloadOptions;

  constructor(client: Client, keyspace: string, table: RandomTable, options: WorkloadOptions) {
    this.#client = client;
    this.#keyspace = keyspace;
    this.#table = table;
    this.#options = options;
  }

  async fill(rows: number): Promise<void> {
    const { dice } = this.#options;
    let partition: Key = [];
    for (let row = 0; row < rows; row += 1) {
      // Several rows to a partition.
      if (row % 4 === 0 || this.#table.clustering.length === 0)
        partition = this.#keyOf(this.#table.partition);
      const key = [...partition, ...this.#keyOf(this.#table.clustering)];
      this.keys.push(key);
      for (let writes = whole(dice, 1, 4); writes > 0; writes -= 1) await this.write(key);
      if (dice.chance(0.06)) await this.#deleteRow(key);
    }
    if (this.#table.statics.length === 0) return;
    for (let lone = 0; lone < 2; lone += 1) await this.#writeStatics(this.#keyOf(this.#table.partition));
  }

  /** One statement, which is atomic to whoever reads the row. */
  async write(key: Key): Promise<void> {
    const { dice } = this.#options;
    const { statics, regulars, isCounter } = this.#table;
    if (isCounter) return await this.#count(key);
    const roll = dice.number();
    if (statics.length > 0 && roll < 0.15) await this.#writeStatics(key);
    else if (regulars.length > 0 && roll < 0.6) await this.#update(key);
    else if (roll < 0.66 && regulars.length > 0) await this.#deleteColumn(key);
    else await this.#insert(key);
  }

  async change(key: Key): Promise<void> {
    if (this.#options.dice.chance(0.3) && !this.#table.isCounter) await this.#deleteRow(key);
    else await this.write(key);
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
    const { clock, dice, near } = this.#options;
    const parts: string[] = [];
    const params: Buffer[] = [];
    if (clock !== undefined) {
      clock.micros += BigInt(whole(dice, 1, 5_000));
      parts.push('TIMESTAMP ?');
      params.push(int64(clock.micros));
    }
    if (withTtl && dice.chance(0.45)) {
      parts.push('TTL ?');
      params.push(int32(dice.chance(0.3) ? whole(dice, ...near) : whole(dice, 100_000, 5_000_000)));
    }
    return { text: parts.length === 0 ? '' : ` USING ${parts.join(' AND ')}`, params };
  }

  async #run(query: string, params: readonly (Buffer | null)[]): Promise<void> {
    await this.#client.execute(query, [...params], { prepare: true });
  }

  #where(columns: readonly RandomColumn[]): string {
    return columns.map(({ name }) => `${quoted(name)} = ?`).join(' AND ');
  }

  get #keyColumns(): readonly RandomColumn[] {
    return [...this.#table.partition, ...this.#table.clustering];
  }

  async #insert(key: Key): Promise<void> {
    const { dice, types } = this.#options;
    const chosen = this.#table.regulars.filter(() => dice.chance(0.7));
    const names = [...this.#keyColumns, ...chosen].map(({ name }) => quoted(name));
    const values = chosen.map(({ type }) => randomValue(parseType(type), types, dice));
    const using = this.#using(true);
    await this.#run(
      `INSERT INTO ${this.#place} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})${using.text}`,
      [...key, ...values, ...using.params],
    );
  }

  async #update(key: Key): Promise<void> {
    await this.#set(this.#options.dice.pick(this.#table.regulars), key, this.#keyColumns);
  }

  async #writeStatics(key: Key): Promise<void> {
    if (this.#table.isCounter) return;
    const { partition, statics } = this.#table;
    await this.#set(this.#options.dice.pick(statics), key.slice(0, partition.length), partition);
  }

  async #set(column: RandomColumn, key: Key, where: readonly RandomColumn[]): Promise<void> {
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
    await this.#run(`UPDATE ${this.#place}${using.text} SET ${assignment} WHERE ${this.#where(where)}`, [
      ...using.params,
      value,
      ...key,
    ]);
  }

  async #deleteColumn(key: Key): Promise<void> {
    const { name } = this.#options.dice.pick(this.#table.regulars);
    const using = this.#using(false);
    await this.#run(
      `DELETE ${quoted(name)} FROM ${this.#place}${using.text} WHERE ${this.#where(this.#keyColumns)}`,
      [...using.params, ...key],
    );
  }

  async #deleteRow(key: Key): Promise<void> {
    if (this.#table.isCounter) return;
    const using = this.#using(false);
    await this.#run(`DELETE FROM ${this.#place}${using.text} WHERE ${this.#where(this.#keyColumns)}`, [
      ...using.params,
      ...key,
    ]);
  }

  async #count(key: Key): Promise<void> {
    const { dice } = this.#options;
    const { name } = dice.pick(this.#table.regulars);
    await this.#run(
      `UPDATE ${this.#place} SET ${quoted(name)} = ${quoted(name)} + ? WHERE ${this.#where(this.#keyColumns)}`,
      [int64(BigInt(whole(dice, -50, 50))), ...key],
    );
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
