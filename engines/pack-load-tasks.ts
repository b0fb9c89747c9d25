import type { DataObject } from '../model/backup.ts';

const TASK_BYTES = 64 * 1024 * 1024;
const TASK_OBJECTS = 64;

/**
 * Packs objects into load tasks, in their order. Small objects of one database share a task, up to `taskBytes` of rows and 64 objects; a larger one
 * has a task alone. Pure, so that every worker numbers the tasks alike.
 */
export function packLoadTasks(
  objects: readonly DataObject[],
  taskBytes = TASK_BYTES,
): readonly (readonly DataObject[])[] {
  const tasks: DataObject[][] = [];
  let bytes = 0;
  for (const object of objects) {
    const task = tasks.at(-1);
    const fits =
      task !== undefined &&
      task.length < TASK_OBJECTS &&
      bytes + object.bytes <= taskBytes &&
      task[0]?.table.database === object.table.database;
    if (fits) {
      task.push(object);
      bytes += object.bytes;
    } else {
      tasks.push([object]);
      bytes = object.bytes;
    }
  }
  return tasks;
}
