const SYSTEM_KEYSPACES: readonly string[] = [
  'system',
  'system_auth',
  'system_distributed',
  'system_schema',
  'system_traces',
  'system_views',
  'system_virtual_schema',
];

/** Whether a keyspace is the server's own, which a backup never carries. */
export function isSystemKeyspace(name: string): boolean {
  return SYSTEM_KEYSPACES.includes(name);
}
