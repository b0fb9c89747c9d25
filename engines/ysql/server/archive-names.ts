import { sha256Hex } from '../../../repository/sha256.ts';

/**
 * The name of the replication slot and of the publication of a plan's database. It is the same at each attempt, so that one that died
 * leaves nothing that the next doesn't find. A slot's name is unique in its server, and may have lower-case letters, digits and `_`.
 */
export function archiveName(plan: string, database: string): string {
  return `holdfast_${sha256Hex(Buffer.from(JSON.stringify([plan, database]))).slice(0, 24)}`;
}

const ARCHIVE_NAME = /^holdfast_[0-9a-f]{24}$/;

/** Whether a slot or a publication is an archive's, of whatever plan. */
export function isArchiveName(name: string): boolean {
  return ARCHIVE_NAME.test(name);
}
