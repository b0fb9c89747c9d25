const OF_DATABASE = new Set(['COMMENT', 'ACL', 'SECURITY LABEL']);

/** True for the entries that `--create` adds. For the types COMMENT, ACL and SECURITY LABEL their tag starts with `DATABASE`. */
export function describesDatabase(entry: {
  readonly type: string;
  readonly name: string;
  readonly schema: string | undefined;
}): boolean {
  if (entry.type === 'DATABASE' || entry.type === 'DATABASE PROPERTIES') return true;
  return OF_DATABASE.has(entry.type) && entry.schema === undefined && entry.name.startsWith('DATABASE ');
}
