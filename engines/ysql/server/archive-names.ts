import { sha256Hex } from '../../../repository/sha256.ts';

/**
 * Returns the name of the replication slot, and of the publication, for a plan's database. Every attempt uses the same name, so it
 * finds what a failed attempt left behind. A slot's name is unique in its server and may have only lower-case letters, digits and
 * `_`.
 */
export function archiveName(plan: string, database: string): string {
  return `holdfast_${sha256Hex(Buffer.from(JSON.stringify([plan, database]))).slice(0, 24)}`;
}

const ARCHIVE_NAME = /^holdfast_[0-9a-f]{24}$/;

/** True when the name is that of an archive's slot or publication, of any plan. */
export function isArchiveName(name: string): boolean {
  return ARCHIVE_NAME.test(name);
}
