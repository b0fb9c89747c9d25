import { Dice } from '../../crash/dice.ts';
import { HostileNames } from './names.ts';

export interface HostileTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly unique: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly deferrable: boolean;
  }[];
  readonly check: string | undefined;
  readonly index: string | undefined;
  readonly comment: string | undefined;
  /** Default of the first column. */
  readonly text: string;
  readonly tablegroup: string | undefined;
  readonly tablespace: string | undefined;
}

/** A schema whose every name may be hostile. */
export interface HostileSchema {
  readonly schema: string;
  readonly owner: string;
  readonly reader: string;
  readonly tablespace: string;
  readonly tablegroups: readonly string[];
  readonly tables: readonly HostileTable[];
  readonly routine: {
    readonly name: string;
    readonly argument: string;
    readonly body: string;
    readonly comment: string;
  };
  readonly view: string;
}

export function hostileSchema(seed: number): HostileSchema {
  const names = new HostileNames(seed);
  const dice = new Dice(seed ^ 0x5eed);
  const maybe = <T>(make: () => T, chance = 0.5): T | undefined => (dice.chance(chance) ? make() : undefined);
  const tablespace = names.name();
  const tablegroups = Array.from({ length: Math.floor(dice.number() * 3) }, () => names.name());
  const tables = Array.from({ length: 1 + Math.floor(dice.number() * 3) }, (): HostileTable => {
    const columns = Array.from({ length: 1 + Math.floor(dice.number() * 3) }, () => names.name());
    return {
      name: names.name(),
      columns,
      unique: Array.from({ length: Math.floor(dice.number() * 3) }, () => ({
        name: names.name(),
        columns: columns.slice(0, 1 + Math.floor(dice.number() * columns.length)),
        deferrable: dice.chance(0.2),
      })),
      check: maybe(() => names.name()),
      index: maybe(() => names.name()),
      comment: maybe(() => names.text()),
      text: names.text(),
      tablegroup: tablegroups.length > 0 && dice.chance(0.6) ? dice.pick(tablegroups) : undefined,
      tablespace: maybe(() => tablespace, 0.3),
    };
  });
  return {
    ...{ schema: names.name(), owner: names.name(), reader: names.name(), tablespace, tablegroups, tables },
    routine: { name: names.name(), argument: names.name(), body: names.text(), comment: names.text() },
    view: names.name(),
  };
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function literal(text: string): string {
  const escaped = text.replaceAll("'", "''");
  return text.includes('\\') ? `E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`;
}

/** The SQL that makes it in a database of PostgreSQL, which has no tablegroups. */
export function creating(model: HostileSchema): readonly string[] {
  const { schema, reader, tables, routine, view } = model;
  const inSchema = (name: string) => `${quoted(schema)}.${quoted(name)}`;
  const [first] = tables;
  return [
    `CREATE SCHEMA ${quoted(schema)}`,
    ...tables.flatMap((table) => [
      `CREATE TABLE ${inSchema(table.name)} (${table.columns.map((column, at) => `${quoted(column)} text${at === 0 ? ` DEFAULT ${literal(table.text)}` : ''}`).join(', ')})` +
        (table.tablespace === undefined ? '' : ` TABLESPACE ${quoted(table.tablespace)}`),
      ...table.unique.map(
        ({ name, columns, deferrable }) =>
          `ALTER TABLE ${inSchema(table.name)} ADD CONSTRAINT ${quoted(name)} UNIQUE (${columns.map(quoted).join(', ')})${deferrable ? ' DEFERRABLE' : ''}`,
      ),
      ...(table.check === undefined
        ? []
        : [
            `ALTER TABLE ${inSchema(table.name)} ADD CONSTRAINT ${quoted(table.check)} CHECK (${quoted(table.columns[0] ?? '')} <> ${literal(table.text)})`,
          ]),
      ...(table.index === undefined
        ? []
        : [
            `CREATE INDEX ${quoted(table.index)} ON ${inSchema(table.name)} (${quoted(table.columns[0] ?? '')})`,
          ]),
      ...(table.comment === undefined
        ? []
        : [`COMMENT ON TABLE ${inSchema(table.name)} IS ${literal(table.comment)}`]),
      `ALTER TABLE ${inSchema(table.name)} OWNER TO ${quoted(model.owner)}`,
      `GRANT SELECT ON ${inSchema(table.name)} TO ${quoted(reader)}`,
    ]),
    `CREATE FUNCTION ${inSchema(routine.name)}(${quoted(routine.argument)} text) RETURNS text LANGUAGE sql AS ${literal(`SELECT ${literal(routine.body)}`)}`,
    `COMMENT ON FUNCTION ${inSchema(routine.name)}(text) IS ${literal(routine.comment)}`,
    ...(first === undefined
      ? []
      : [`CREATE VIEW ${inSchema(view)} AS SELECT * FROM ${inSchema(first.name)}`]),
  ];
}
