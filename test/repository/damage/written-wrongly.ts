import type { Written } from './stored-archive.ts';

/** What a capture with a fault might store: the header, the name and the checksums agree with what is written. */
export const WRITTEN_WRONGLY: Readonly<Record<string, (sound: Written) => Written>> = {
  'a beginning is missing': (sound) => without(sound, 'B'),
  'a commit is missing': (sound) => without(sound, 'C'),
  'the description of a table is missing': (sound) => without(sound, 'R'),
  'two transactions have changed places': (sound) => {
    const [first, ...transactions] = transactionsOf(sound);
    return { ...sound, messages: [...(first ?? []), ...transactions.toReversed().flat()] };
  },
  'a transaction is there twice': (sound) => {
    const [first = [], second = []] = transactionsOf(sound);
    const messages = [...first, ...second, ...sound.messages.slice(first.length)];
    return { ...sound, messages, transactions: sound.transactions + 1 };
  },
  'its header counts a transaction more': (sound) => ({ ...sound, transactions: sound.transactions + 1 }),
  'its name says a later last commit': (sound) => ({ ...sound, maxMicros: sound.maxMicros + 1 }),
  'its name says an earlier first commit': (sound) => ({ ...sound, minMicros: sound.minMicros - 1 }),
  'its last transaction is missing': (sound) => {
    const transactions = transactionsOf(sound);
    return {
      ...sound,
      messages: transactions.slice(0, -1).flat(),
      transactions: sound.transactions - 1,
    };
  },
  'a message lacks its last byte': (sound) => {
    const at = sound.messages.findIndex((message) => letterOf(message) === 'I');
    const messages = sound.messages.map((message, index) =>
      index === at ? message.subarray(0, -1) : message,
    );
    return { ...sound, messages };
  },
};

const letterOf = (message: Buffer) => String.fromCharCode(message[0] ?? 0);

/** The messages before the first transaction, then each transaction. */
function transactionsOf({ messages }: Written): readonly (readonly Buffer[])[] {
  const groups: Buffer[][] = [[]];
  for (const message of messages) {
    if (letterOf(message) === 'B') groups.push([]);
    groups.at(-1)?.push(message);
  }
  return groups;
}

function without(sound: Written, letter: string): Written {
  const at = sound.messages.findIndex((message) => letterOf(message) === letter);
  return { ...sound, messages: sound.messages.filter((_message, index) => index !== at) };
}

/** A row's message is missing or stands elsewhere in its transaction: nothing in the segment contradicts it, and only the proof can see it. */
export const ONLY_REPLAY_SEES: Readonly<Record<string, (sound: Written) => Written>> = {
  'a row is missing': (sound) => without(sound, 'I'),
  'an update is missing': (sound) => without(sound, 'U'),
  'a delete is missing': (sound) => without(sound, 'D'),
};
