import { dataObjectName } from '../../model/backup.ts';
import { recover } from '../../model/errors.ts';
import type { Manifest, ManifestDatabase } from '../../model/manifest.ts';
import { readTabletLists } from '../objects/tablet-lists.ts';
import { TabletTally } from '../objects/tablet-tally.ts';
import type { Cancellable, Store } from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { otherObjects, readDataObjects } from './manifest.ts';
import { PackCheck } from './packs.ts';
import { DataTally } from './tally.ts';

/**
 * How a manifest contradicts itself, in words. Empty: it doesn't. Each object or tablet must be named once and belong to a table of the
 * manifest, and the sums by table and in total must be the stated ones. This finds an object that was left out, doubled, or exchanged
 * with another table's, even though every named object is there and sound. It also reports a list that isn't a valid list of files.
 */
export async function manifestProblems(
  store: Store,
  manifest: Manifest,
  options: Cancellable = {},
): Promise<readonly string[]> {
  return await recover(
    manifest.tablets === undefined
      ? problemsOfData(store, manifest, options)
      : problemsOfTablets(store, manifest, manifest.tablets, options),
    (error) => isDamage(error) || error.code === 'MANIFEST_UNKNOWN_TABLE',
    ({ message }) => [message],
  );
}

async function problemsOfData(
  store: Store,
  manifest: Manifest,
  options: Cancellable,
): Promise<readonly string[]> {
  const tally = new DataTally();
  const names = new Set<string>();
  const packs = new PackCheck(manifest.packs ?? []);
  const problems: string[] = [];
  for await (const object of readDataObjects(store, manifest, options)) {
    const name = dataObjectName(object);
    if (names.has(name)) problems.push(`The manifest names ${name} twice.`);
    names.add(name);
    if (object.at !== undefined) packs.add(object);
    tally.add(object);
  }
  problems.push(...packs.problems());
  const counted = tally.countedDatabases(manifest.databases);
  return [
    ...problems,
    ...tableProblems(manifest.databases, counted),
    ...totalProblems(manifest.totals, tally.totals(counted, otherThanLists(manifest))),
  ];
}

/** The lists are left out, since the totals don't count them. */
function otherThanLists(manifest: Manifest) {
  const lists = 'lists' in manifest.data ? new Set(manifest.data.lists.map(({ key }) => key)) : new Set();
  return otherObjects(manifest).filter(({ key }) => !lists.has(key));
}

async function problemsOfTablets(
  store: Store,
  manifest: Manifest,
  stated: NonNullable<Manifest['tablets']>,
  options: Cancellable,
): Promise<readonly string[]> {
  const snapshots = manifest.universe?.snapshots ?? [];
  const known = new Set(snapshots.flatMap(({ tables }) => tables.map(({ id }) => id)));
  const tally = new TabletTally();
  const seen = new Set<string>();
  const problems: string[] = [];
  for await (const list of readTabletLists(store, manifest, options)) {
    for (const { tablet, table } of list.tablets) {
      if (seen.has(tablet)) problems.push(`The lists name the tablet ${tablet} twice.`);
      if (!known.has(table))
        problems.push(`The tablet ${tablet} is of the table ${table}, which no snapshot holds.`);
      seen.add(tablet);
    }
    tally.add(list);
  }
  const counted = tally.countedDatabases(manifest.databases, snapshots);
  const { bytes } = manifest.totals;
  return [
    ...problems,
    ...tableProblems(manifest.databases, counted),
    ...differences(
      'The manifest',
      { tablets: stated.count, files: stated.files, bytes },
      {
        tablets: tally.tablets,
        files: tally.files,
        bytes: tally.bytes,
      },
    ),
  ];
}

function tableProblems(
  stated: readonly ManifestDatabase[],
  counted: readonly ManifestDatabase[],
): readonly string[] {
  return stated.flatMap(({ name, tables }, place) =>
    tables.flatMap(({ schema, table, rows, bytes, objects }, index) => {
      const found = counted[place]?.tables[index];
      if (found === undefined) return [`${name}: ${schema}.${table} is not counted.`];
      return differences(`${name}: ${schema}.${table}`, { rows, bytes, objects }, { ...found });
    }),
  );
}

const totalProblems = (stated: Manifest['totals'], found: Manifest['totals']): readonly string[] =>
  differences('The manifest', { ...stated }, { ...found });

function differences(
  what: string,
  stated: Readonly<Record<string, number>>,
  found: { readonly [name in string]?: unknown },
): readonly string[] {
  return Object.entries(stated).flatMap(([name, number]) =>
    found[name] === number
      ? []
      : [`${what} states ${number} ${name}, and its parts add up to ${String(found[name])}.`],
  );
}
