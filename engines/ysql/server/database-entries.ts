const OF_DATABASE = new Set(['COMMENT', 'ACL', 'SECURITY LABEL']);

/** The entries that `--create` adds; their tag starts with `DATABASE` where their type is COMMENT, ACL or SECURITY LABEL. */
export function describesDatabase(entry: {
  readonly type: string;
  readonly name: string;
  readonly schema: string | undefined;
}): boolean {
  if (entry.type === 'DATABASE' || entry.type === 'DATABASE PROPERTIES') return true;
  return OF_DATABASE.has(entry.type) && entry.schema === undefined && entry.name.startsWith('DATABASE ');
}
