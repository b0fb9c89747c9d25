import { randomBytes } from 'node:crypto';
import type { Action } from '../model.ts';
import { resolveNamespace } from './operations/operation.ts';
import type { World } from './world.ts';

/** Adds and removes other users of the universe. Returns the id of an added one. */
export async function changeNeighbours(
  world: World,
  action: Extract<Action, { do: 'addNeighbour' | 'removeNeighbours' | 'encrypt' | 'endEncryption' }>,
): Promise<string> {
  const { state } = world;
  switch (action.do) {
    case 'addNeighbour': {
      const { id: namespaceId } = await resolveNamespace(world, action.namespace);
      const id = randomBytes(16).toString('hex');
      state.neighbours.push({ kind: action.kind, name: action.name, id, namespaceId });
      return id;
    }
    case 'removeNeighbours':
      state.neighbours.length = 0;
      return 'removed';
    case 'encrypt':
      state.encryption = { key: action.key, inMemory: action.inMemory };
      return 'encrypted';
    case 'endEncryption':
      delete state.encryption;
      return 'ended';
  }
}
