import { type HoldfastError, permanent } from '../../../model/errors.ts';

export function tableExists(keyspace: string, table: string): HoldfastError {
  return permanent(
    'RESTORE_TABLE_EXISTS',
    `There is a table ${keyspace}.${table} already`,
    'Restore into another keyspace (--into NAME), or only the rows into the tables that are there (--data-only).',
  );
}

export function definitionDiffers(
  kind: 'type' | 'function' | 'aggregate',
  keyspace: string,
  name: string,
): HoldfastError {
  return permanent(
    'RESTORE_DEFINITION_DIFFERS',
    `The ${kind} ${keyspace}.${name} that is there is another than the backup’s, and what is restored would be read by it`,
    'Restore into another keyspace (--into NAME), or drop it first.',
  );
}
