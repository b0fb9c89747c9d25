import type { CqlPageHeader } from '../../../repository/backups/cql-pages.ts';
import { type BoundStatement, type Cell, UNSET } from '../bound-statement.ts';
import { quoteName } from '../identifiers.ts';
import { fieldsOf, joinElements, type RawCell, type RowWalk, sameCell, sameCells } from '../rows.ts';
import type { UserType } from '../schema.ts';
import {
  cutGroup,
  cutGroups,
  type ElementGroup,
  elementGroups,
  type Group,
  partOf,
  ttlLeft,
  type ValueColumn,
} from './cell-groups.ts';
import { latestOf, runsOf, valuesIn } from './lists.ts';
import { bytesOfStatement, bytesOfValue, MUTATION_BYTES } from './mutation-size.ts';
import { TableStatements } from './table-statements.ts';
import type { WritingRules } from './writing-rules.ts';

/** The statements of one row, all of one partition. */
export interface RowStatements {
  readonly statements: readonly BoundStatement[];
  /**
   * Remove what an earlier attempt may have written. Empty if writing the row twice, in any order, does no harm. Otherwise `statements` go as one
   * batch, in order; those of a row that is too large for one go as several, one after another.
   */
  readonly clears: readonly BoundStatement[];
  /** The statements go as one batch, or as several one after another, in order: the first one of a collection replaces it, and the others add to it. */
  readonly ordered: boolean;
  /** All of the row has expired. */
  readonly expired: boolean;
}

/**
 * Turns rows of a backup into the fewest statements that write every cell with its own write time and expiry. Rows must come in the backup's order,
 * since static columns are written once per partition. Pure except for the partition that it remembers.
 */
export class RowStatementBuilder {
  readonly #header: CqlPageHeader;
  readonly #rules: WritingRules;
  readonly #types: readonly UserType[];
  readonly #table: TableStatements;
  #partition: readonly RawCell[] | undefined;

  constructor(header: CqlPageHeader, into: string, rules: WritingRules, types: readonly UserType[]) {
    this.#header = header;
    this.#rules = rules;
    this.#types = types;
    this.#table = new TableStatements(header, into, rules);
  }

  get width(): number {
    return this.#header.columns.length;
  }

  /** Whether writing a row twice may differ from writing it once, because elements of lists are added. */
  get hasLists(): boolean {
    return (
      !this.#rules.wholeCollections &&
      [...this.#table.statics, ...this.#table.regulars].some(
        ({ type, isMultiCell: multi }) => multi && type.kind === 'list',
      )
    );
  }

  /**
   * The statements of the walk's current row.
   *
   * @param readAtMs when the row was read
   * @param nowMs the present, both in milliseconds since 1970
   */
  statementsOf(row: RowWalk, readAtMs: number, nowMs: number): RowStatements {
    const elapsed = Math.max(0, Math.floor((nowMs - readAtMs) / 1_000));
    return this.#written(row, elapsed) ?? this.#statementsOf(row.cells(), elapsed);
  }

  /**
   * Handles the usual row in one statement: the table has no static columns, the row has no collection, and all cells have one write time and one
   * expiry, which is still to come. Undefined for any other row.
   */
  #written(row: RowWalk, elapsed: number): RowStatements | undefined {
    if (this.#table.statics.length > 0) return undefined;
    const present = this.#table.regulars.filter(({ valueAt }) => !row.isNull(valueAt));
    const [first] = present;
    if (first === undefined || this.#table.clusteringAt.some((at) => row.isNull(at))) return undefined;
    const { writeTimeAt, ttlAt } = first;
    for (const column of present) {
      if (column.isMultiCell) return undefined;
      if (this.#rules.writeTimes && !isLike(row, column.writeTimeAt, writeTimeAt)) return undefined;
      if (this.#rules.ttls && !isLike(row, column.ttlAt, ttlAt)) return undefined;
    }
    const ttl = ttlLeft(this.#rules.ttls && ttlAt !== undefined ? row.cell(ttlAt) : null, elapsed);
    if (ttl === undefined) return undefined;
    const key = [...this.#table.partitionAt, ...this.#table.clusteringAt].map((at) => row.cell(at));
    const writeTime = this.#rules.writeTimes && writeTimeAt !== undefined ? row.cell(writeTimeAt) : null;
    const absent = this.#rules.replaces ? null : UNSET;
    const cells = this.#table.regulars.map(({ valueAt }) => row.cell(valueAt) ?? absent);
    const insert = this.#table.insertOf(this.#table.regulars, key, cells, { writeTime, ttl });
    if (bytesOfStatement(insert) > MUTATION_BYTES) return undefined;
    return { statements: [insert], clears: [], ordered: false, expired: false };
  }

  #statementsOf(cells: readonly RawCell[], elapsed: number): RowStatements {
    const out: Output = { statements: [], clears: [], ordered: false, lapsed: false };
    const partition = this.#table.partitionAt.map((at) => cells[at] ?? null);
    if (this.#table.statics.length > 0 && !sameCells(partition, this.#partition)) {
      // The object before this one ends with rows of the same partition, and has written its static columns.
      const isWritten = this.#partition === undefined && this.#header.continued === true;
      // Copied, since it is kept longer than its page's memory.
      this.#partition = partition.map((cell) => (cell === null ? null : Buffer.from(cell)));
      if (!isWritten) this.#write(out, this.#table.statics, cells, partition, elapsed);
    }
    const clustering = this.#table.clusteringAt.map((at) => cells[at] ?? null);
    // A partition that has only static columns comes as a row without clustering key.
    const isRow = clustering.length === 0 || clustering[0] !== null;
    if (!isRow) {
      const { statements, clears, ordered, lapsed } = out;
      return { statements, clears, ordered, expired: lapsed && statements.length === 0 };
    }
    const key = [...partition, ...clustering];
    const before = out.statements.length;
    out.lapsed = false;
    this.#write(out, this.#table.regulars, cells, key, elapsed);
    const { statements, clears, ordered, lapsed } = out;
    const nothing = statements.length === before;
    // A row that has only a key, and no cell that has expired: the key itself is the content.
    if (nothing && !lapsed) statements.push(this.#insert(this.#table.regulars, key, NO_GROUP, NOTHING));
    return { statements, clears, ordered, expired: nothing && lapsed && statements.length === 0 };
  }

  #write(
    out: Output,
    columns: readonly ValueColumn[],
    cells: readonly RawCell[],
    key: readonly RawCell[],
    elapsed: number,
  ): void {
    const groups: Group[] = [];
    const add = (column: ValueColumn, value: Buffer, writeTime: RawCell, ttl: number) => {
      const known = groups.find((group) => group.ttl === ttl && sameCell(group.writeTime, writeTime));
      if (known !== undefined) known.values.push({ column, value });
      else groups.push({ writeTime, ttl, values: [{ column, value }] });
    };
    const later: (() => void)[] = [];
    const elsewhere = new Set<ValueColumn>();
    const { wholeCollections } = this.#rules;
    for (const column of columns) {
      const value = cells[column.valueAt];
      if (value === null || value === undefined) continue;
      const writeTime =
        this.#rules.writeTimes && column.writeTimeAt !== undefined
          ? (cells[column.writeTimeAt] ?? null)
          : null;
      const ttlCell = this.#rules.ttls && column.ttlAt !== undefined ? (cells[column.ttlAt] ?? null) : null;
      if (!column.isMultiCell) {
        const ttl = ttlLeft(ttlCell, elapsed);
        if (ttl === undefined) out.lapsed = true;
        else add(column, value, writeTime, ttl);
        continue;
      }
      const elements = elementGroups(column.type, value, writeTime, ttlCell, elapsed);
      if (elements.lapsed > 0) out.lapsed = true;
      if (column.type.kind === 'list' && !wholeCollections) this.#clear(out, column, value, writeTime, key);
      const [only, ...others] = elements.groups;
      if (only === undefined) continue;
      const left = elements.lapsed === 0 ? value : partOf(column.type, value, elements.groups);
      const isTooLarge = bytesOfValue(column.type, left) > MUTATION_BYTES;
      if (others.length === 0 && (wholeCollections || !isTooLarge))
        add(column, left, only.writeTime, only.ttl);
      else if (!wholeCollections) {
        elsewhere.add(column);
        const parts = isTooLarge ? cutGroups(column.type, value, elements.groups) : elements.groups;
        const replaces = this.#rules.replaces || others.length === 0;
        later.push(() => this.#writeElements(out, column, value, parts, key, replaces));
      } else {
        const isOneTtl = others.every(({ ttl }) => ttl === only.ttl);
        add(column, left, latestOf(writeTime), isOneTtl ? only.ttl : 0);
      }
    }
    // An INSERT also removes what the backup lacks. If the row needs none (its collections are written in parts, or a partition has no static
    // columns), an UPDATE removes it, since that doesn't create the row.
    const isBare = elsewhere.size > 0 || (columns === this.#table.statics && !out.lapsed);
    const absent = columns.filter((column) => !elsewhere.has(column));
    if (this.#rules.replaces && groups.length === 0 && isBare && absent.length > 0)
      out.statements.push(this.#update(columns, key, NO_GROUP, new Set(absent)));
    this.#writeGroups(out, columns, groups.flatMap(cutGroup), key, elsewhere);
    for (const write of later) write();
  }

  /**
   * Writes one group by INSERT, which also creates the row itself, and the others by UPDATE, so that the row doesn't expire with them. The row
   * itself expires only if all groups do.
   */
  #writeGroups(
    out: Output,
    columns: readonly ValueColumn[],
    groups: readonly Group[],
    key: readonly RawCell[],
    elsewhere: ReadonlySet<ValueColumn>,
  ): void {
    const [first, ...rest] = groups;
    if (first === undefined) return;
    const lasting = groups.find(({ ttl }) => ttl === 0);
    const base =
      lasting ?? rest.reduce((longest, group) => (group.ttl > longest.ttl ? group : longest), first);
    const others = new Set(elsewhere);
    for (const { values } of groups.filter((group) => group !== base)) {
      for (const { column } of values) others.add(column);
    }
    for (const group of groups) {
      out.statements.push(
        group === base ? this.#insert(columns, key, group, others) : this.#update(columns, key, group),
      );
    }
  }

  /** @param elsewhere columns that other statements of the row write */
  #insert(
    columns: readonly ValueColumn[],
    key: readonly RawCell[],
    group: Group,
    elsewhere: ReadonlySet<ValueColumn>,
  ): BoundStatement {
    const values = this.#rules.replaces
      ? valuesOf(columns, group, new Set(columns.filter((column) => !elsewhere.has(column))))
      : valuesOf(columns, group);
    return this.#table.insertOf(columns, key, values, group);
  }

  /** @param removed columns that are set to null */
  #update(
    columns: readonly ValueColumn[],
    key: readonly RawCell[],
    group: Group,
    removed: ReadonlySet<ValueColumn> = NOTHING,
  ): BoundStatement {
    const isStatic = columns === this.#table.statics;
    const query = this.#table.text(isStatic ? 'update static' : 'update', () =>
      this.#table.updateText(columns.map(({ name }) => `${quoteName(name)} = ?`).join(', '), isStatic),
    );
    const params = [...this.#table.usingParams(group), ...valuesOf(columns, group, removed), ...key];
    return { query, params, partition: this.#table.partitionOf(key) };
  }

  /** @param replaces the first group takes the place of what is there */
  #writeElements(
    out: Output,
    column: ValueColumn,
    value: Buffer,
    groups: readonly ElementGroup[],
    key: readonly RawCell[],
    replaces: boolean,
  ): void {
    const { type, isStatic } = column;
    const name = quoteName(column.name);
    const partition = this.#table.partitionOf(key);
    if (type.kind === 'list') {
      this.#writeList(out, column, value, groups, key);
      return;
    }
    const [first, ...rest] = groups;
    if (replaces && first !== undefined) {
      // The first group replaces what is there. The others are added to it, at the same time or later.
      const whole = this.#table.text(`whole ${column.name}`, () =>
        this.#table.updateText(`${name} = ?`, isStatic),
      );
      const params = [...this.#table.usingParams(first), partOf(type, value, [first]), ...key];
      out.statements.push({ query: whole, params, partition });
      out.ordered = true;
    }
    const added = replaces ? rest : groups;
    if (type.kind === 'udt') {
      const fields = this.#types.find((known) => known.name === type.name)?.fields ?? [];
      const query = this.#table.text(`fields ${column.name}`, () =>
        this.#table.updateText(
          fields.map((field) => `${name}.${quoteName(field.name)} = ?`).join(', '),
          isStatic,
        ),
      );
      const cells = fieldsOf(value);
      for (const group of added) {
        const params = fields.map(
          (_, index): Cell => (group.indexes.includes(index) ? (cells[index] ?? null) : UNSET),
        );
        out.statements.push({
          query,
          params: [...this.#table.usingParams(group), ...params, ...key],
          partition,
        });
      }
      return;
    }
    const query = this.#table.addition(column);
    for (const group of added) {
      const part = partOf(type, value, [group]);
      out.statements.push({ query, params: [...this.#table.usingParams(group), part, ...key], partition });
    }
  }

  /** Writes an empty list at the time of the oldest element, which hides what was there before that time; then adds the elements, run by run. */
  #writeList(
    out: Output,
    column: ValueColumn,
    value: Buffer,
    groups: readonly ElementGroup[],
    key: readonly RawCell[],
  ): void {
    const { name, isStatic } = column;
    const partition = this.#table.partitionOf(key);
    const { writeTime } = groups.reduce((least, group) =>
      isEarlier(group.writeTime, least.writeTime) ? group : least,
    );
    const whole = this.#table.text(`list ${name}`, () =>
      this.#table.updateText(`${quoteName(name)} = ?`, isStatic),
    );
    const nothing = [...this.#table.usingParams({ writeTime, ttl: 0 }), joinElements(0, []), ...key];
    out.statements.push({ query: whole, params: nothing, partition });
    const query = this.#table.addition(column);
    for (const run of runsOf(value, groups)) {
      const elements = joinElements(run.elements.length, run.elements);
      out.statements.push({ query, params: [...this.#table.usingParams(run), elements, ...key], partition });
    }
  }

  /** Removes the backup's elements from a list, at the time of its newest element. */
  #clear(
    out: Output,
    { name, isStatic }: ValueColumn,
    value: Buffer,
    writeTimes: RawCell,
    key: readonly RawCell[],
  ): void {
    const using = this.#rules.writeTimes ? ' USING TIMESTAMP ?' : '';
    const query = this.#table.text(
      `clear ${name}`,
      () =>
        `UPDATE ${this.#table.name}${using} SET ${quoteName(name)} = ${quoteName(name)} - ? WHERE ${this.#table.where(isStatic)}`,
    );
    const time = this.#rules.writeTimes ? [latestOf(writeTimes) ?? UNSET] : [];
    for (const values of valuesIn(value))
      out.clears.push({ query, params: [...time, values, ...key], partition: this.#table.partitionOf(key) });
  }
}

interface Output {
  readonly statements: BoundStatement[];
  readonly clears: BoundStatement[];
  ordered: boolean;
  /** A cell or an element has expired. */
  lapsed: boolean;
}

const NO_GROUP: Group = { writeTime: null, ttl: 0, values: [] };
const NOTHING: ReadonlySet<ValueColumn> = new Set();

/** Whether two cells of a row are equal. The backup may lack either. */
function isLike(row: RowWalk, one: number | undefined, other: number | undefined): boolean {
  if (one === other) return true;
  return one !== undefined && other !== undefined && row.isSame(one, other);
}

/** @param removed columns that are written as null if the group has no value for them; others stay as they are */
function valuesOf(
  columns: readonly ValueColumn[],
  group: Group,
  removed: ReadonlySet<ValueColumn> = NOTHING,
): readonly Cell[] {
  if (group.values.length === columns.length) return group.values.map(({ value }) => value);
  const values = columns.map((column): Cell => (removed.has(column) ? null : UNSET));
  for (const { column, value } of group.values) values[column.place] = value;
  return values;
}

function isEarlier(one: RawCell, other: RawCell): boolean {
  if (one === null || other === null) return false;
  return one.readBigInt64BE(0) < other.readBigInt64BE(0);
}
