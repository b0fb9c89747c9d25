import { createHash } from 'node:crypto';
import type { DataObject, ObjectEntry } from '../model/backup.ts';
import type { Manifest } from '../model/manifest.ts';
import { isShared } from '../repository/layout.ts';
import type { KitFile } from './engine.ts';

/** Where an object of the backup lies, seen from the backup's folder. */
export function kitPath(key: string): string {
  return isShared(key) ? `../../../${key}` : key;
}

/** `SHA256SUMS` over everything that a restore without Holdfast uses, in the form of `sha256sum`. Pure. */
export function kitChecksums(
  manifest: Manifest,
  dataObjects: readonly DataObject[],
  kitFiles: readonly KitFile[],
): KitFile {
  const stored: readonly Pick<ObjectEntry, 'key' | 'sha256'>[] = [
    ...manifest.commonObjects,
    ...manifest.databases.flatMap(({ schemaObjects }) => schemaObjects),
    ...dataObjects.filter(({ at }) => at === undefined),
    ...(manifest.packs ?? []),
    ...kitFiles.map(({ key, text }) => ({ key, sha256: createHash('sha256').update(text).digest('hex') })),
  ];
  // Several data objects may be one shared object.
  const lines = new Set(stored.map(({ key, sha256 }) => `${sha256}  ${kitPath(key)}\n`));
  return { key: 'SHA256SUMS', text: [...lines].join('') };
}
