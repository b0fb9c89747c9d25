import type { Dice } from '../../crash/dice.ts';
import { type TypeFields, whole } from './values.ts';

export type DialectName = 'cassandra' | 'ycql';

export interface RandomColumn {
  readonly name: string;
  readonly type: string;
}

export interface RandomTable {
  readonly name: string;
  readonly partition: readonly RandomColumn[];
  readonly clustering: readonly (RandomColumn & { readonly order: 'ASC' | 'DESC' })[];
  readonly statics: readonly RandomColumn[];
  readonly regulars: readonly RandomColumn[];
  readonly isCounter: boolean;
  readonly defaultTtl: number;
}

export interface RandomSchema {
  readonly types: TypeFields;
  readonly tables: readonly RandomTable[];
}

const KEYS = [
  'int',
  'text',
  'bigint',
  'uuid',
  'timestamp',
  'blob',
  'tinyint',
  'smallint',
  'date',
  'inet',
  'timeuuid',
];
const COMMON = [...KEYS, 'boolean', 'float', 'double', 'varint', 'decimal', 'time'];
const ONLY = {
  cassandra: ['ascii', 'duration', 'tuple<int, text>', 'vector<float, 3>'],
  ycql: ['jsonb'],
} as const;

/** Names that need quotes, and such that don't. */
const NAMES = ['a', 'b2', 'C', 'select', 'naïve', 'with space', 'q"uote', 'UPPER', 'order', 'x,y'];

export function randomSchema(dice: Dice, dialect: DialectName): RandomSchema {
  const types = new Map<string, { readonly name: string; readonly type: string }[]>();
  for (const name of ['plain', 'Nested Type'].slice(0, whole(dice, 0, 3))) {
    const inner = types.has('plain') ? ['frozen<plain>', 'frozen<list<frozen<plain>>>'] : [];
    types.set(
      name,
      Array.from({ length: whole(dice, 1, 4) }, (_, index) => ({
        name: `f ${index}`,
        type: dice.pick(['int', 'text', 'bigint', 'uuid', ...inner]),
      })),
    );
  }
  const tables = Array.from({ length: whole(dice, 1, 3) }, (_, index) =>
    randomTable(dice, dialect, types, index),
  );
  return { types, tables };
}

function randomTable(dice: Dice, dialect: DialectName, types: TypeFields, index: number): RandomTable {
  const names = NAMES.map((name) => `${name}_${whole(dice, 0, 90)}`);
  let next = 0;
  // Each name once, as the second part counts up.
  const name = (): string => {
    next += 1;
    return `${names[next % names.length]}${next}`;
  };
  const isCounter = dice.chance(0.1);
  const column = (type: string): RandomColumn => ({ name: name(), type });
  const partition = Array.from({ length: whole(dice, 1, 4) }, () => column(dice.pick(KEYS)));
  const clustering = Array.from({ length: whole(dice, 0, 4) }, () => ({
    ...column(dice.pick(KEYS)),
    order: dice.pick(['ASC', 'DESC'] as const),
  }));
  const value = (): string => (isCounter ? 'counter' : randomType(dice, dialect, types));
  const statics =
    clustering.length === 0 ? [] : Array.from({ length: whole(dice, 0, 3) }, () => column(value()));
  const regulars = Array.from({ length: whole(dice, isCounter ? 1 : 0, 7) }, () => column(value()));
  return {
    name: dice.pick([`t${index}`, `Table ${index}`, `T"${index}`].slice(0, 1)) + index,
    ...{ partition, clustering, statics, regulars, isCounter },
    defaultTtl: !isCounter && dice.chance(0.15) ? whole(dice, 100_000, 900_000) : 0,
  };
}

function randomType(dice: Dice, dialect: DialectName, types: TypeFields): string {
  const scalar = () => dice.pick([...COMMON, ...ONLY[dialect]]);
  const userTypes = [...types.keys()].map((each) => (/^[a-z]+$/.test(each) ? each : `"${each}"`));
  const roll = dice.number();
  if (roll < 0.5) return scalar();
  if (roll < 0.6) return 'list<int>';
  if (roll < 0.68) return 'set<text>';
  if (roll < 0.78) return 'map<text, int>';
  if (roll < 0.86 && userTypes.length > 0) {
    const name = dice.pick(userTypes);
    return dice.chance(0.5) ? name : `frozen<${name}>`;
  }
  if (roll < 0.93) return `frozen<map<text, frozen<list<${dice.pick(COMMON)}>>>>`;
  return `frozen<set<${dice.pick(KEYS)}>>`;
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Statements of CQL that create a schema. */
export function ddlOf({ types, tables }: RandomSchema, keyspace: string): readonly string[] {
  return [
    `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
    ...[...types].map(
      ([name, fields]) =>
        `CREATE TYPE ${keyspace}.${quoted(name)} (${fields.map((field) => `${quoted(field.name)} ${field.type}`).join(', ')})`,
    ),
    ...tables.map((table) => {
      const columns = [
        ...[...table.partition, ...table.clustering].map((one) => `${quoted(one.name)} ${one.type}`),
        ...table.statics.map((one) => `${quoted(one.name)} ${one.type} static`),
        ...table.regulars.map((one) => `${quoted(one.name)} ${one.type}`),
      ];
      const key = [
        `(${table.partition.map((one) => quoted(one.name)).join(', ')})`,
        ...table.clustering.map((one) => quoted(one.name)),
      ];
      const order = table.clustering.map((one) => `${quoted(one.name)} ${one.order}`).join(', ');
      const options = [
        ...(table.clustering.length === 0 ? [] : [`CLUSTERING ORDER BY (${order})`]),
        ...(table.defaultTtl === 0 ? [] : [`default_time_to_live = ${table.defaultTtl}`]),
      ];
      return `CREATE TABLE ${keyspace}.${quoted(table.name)} (${columns.join(', ')}, PRIMARY KEY (${key.join(', ')}))${options.length === 0 ? '' : ` WITH ${options.join(' AND ')}`}`;
    }),
  ];
}
