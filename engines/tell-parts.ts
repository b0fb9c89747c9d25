import type { DataObject } from '../model/backup.ts';
import type { VerbContext } from './engine.ts';

/**
 * Tells the trace of an activity of each part of rows that it moves, in the order of moving: a part's span begins where the one before ended. Table names
 * and counts are told, and nothing that a row holds.
 */
export function partsOf(
  { tellPart }: Pick<VerbContext, 'tellPart'>,
  name: 'UploadPart' | 'LoadPart',
): (object: Pick<DataObject, 'table' | 'rows' | 'bytes' | 'sizeBytes'>, chunk?: string) => void {
  let startMs = Date.now();
  return ({ table, rows, bytes, sizeBytes }, chunk) => {
    tellPart?.(name, startMs, {
      'holdfast.database': table.database,
      'holdfast.table': `${table.schema}.${table.table}`,
      ...(chunk === undefined ? {} : { 'holdfast.chunk': chunk }),
      'holdfast.rows': rows,
      'holdfast.bytes': bytes,
      'holdfast.storedBytes': sizeBytes,
    });
    startMs = Date.now();
  };
}
