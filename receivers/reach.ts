import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { type HoldfastError, permanent } from '../model/errors.ts';
import type { Reach } from '../model/notification.ts';

/**
 * Guards against calls that somebody who writes a plan, or who answers for a name in the DNS, sends to where only the worker can reach
 * (server-side request forgery). The address is judged after the name was resolved, and the connection goes to that very address.
 */

type Place = 'public' | 'private' | 'loopback' | 'never';

/**
 * The places by their ranges, of which the first that fits counts. Link-local: RFC 3927, RFC 4291; there the clouds have their metadata,
 * except for those of Alibaba (100.100.100.200), Azure (168.63.129.16) and, by IPv6, AWS (fd00:ec2::254) and Google (fd20:ce::254).
 * 2001::/32 and 2002::/16 (Teredo, 6to4) hold an IPv4 address of anybody's choice.
 */
const PLACES: readonly (readonly [Exclude<Place, 'public'>, readonly string[]])[] = [
  ['loopback', ['127.0.0.0/8', '::1/128']],
  [
    'never',
    [
      '0.0.0.0/8',
      '169.254.0.0/16',
      '100.100.100.200/32',
      '168.63.129.16/32',
      '224.0.0.0/4',
      '240.0.0.0/4',
      '::/128',
      'fe80::/10',
      'ff00::/8',
      'fd00:ec2::254/128',
      'fd20:ce::254/128',
      '2001::/32',
      '2002::/16',
    ],
  ],
  [
    'private',
    [
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '192.0.0.0/24',
      '198.18.0.0/15',
      'fc00::/7',
      'fec0::/10',
    ],
  ],
];

const LISTS = PLACES.map(([place, ranges]) => [place, blockListOf(ranges)] as const);

const REACHED: Readonly<Record<Reach, readonly Place[]>> = {
  public: ['public'],
  private: ['public', 'private'],
  loopback: ['public', 'private', 'loopback'],
};

/** Node compares an IPv6 address that maps an IPv4 one (`::ffff:…`) with the ranges of IPv4; one of NAT64 (RFC 6052) it doesn't. */
function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix = ''] = range.split('/');
    if (isIP(address) === 6) list.addSubnet(address, Number(prefix), 'ipv6');
    else {
      list.addSubnet(address, Number(prefix), 'ipv4');
      list.addSubnet(`64:ff9b::${address}`, 96 + Number(prefix), 'ipv6');
    }
  }
  return list;
}

function placeOf(address: string): Place {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  return LISTS.find(([, list]) => list.check(address, family))?.[0] ?? 'public';
}

/**
 * Resolves names to addresses within reach, for `lookup` of a request or of a connection. The error is `WEBHOOK_ADDRESS_REFUSED`
 * (permanent) where none of a name's addresses is.
 */
export function lookupWithin(reach: Reach): LookupFunction {
  return (name, options, callback) => {
    lookup(name, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, []);
      const within = found.filter(({ address }) => isWithin(address, reach));
      const [first] = within;
      if (first === undefined) return callback(refused(found[0], reach), []);
      if (options.all === true) callback(null, within);
      else callback(null, first.address, first.family);
    });
  };
}

/**
 * Judges a host that is an address itself: Node looks up names alone. Throws `WEBHOOK_ADDRESS_REFUSED` (permanent).
 *
 * @param host as `URL` has it: an IPv6 address in brackets, an IPv4 address in its usual form however it was written
 */
export function checkHost(host: string, reach: Reach): void {
  const address = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  if (family !== 0 && !isWithin(address, reach)) throw refused({ address, family }, reach);
}

const isWithin = (address: string, reach: Reach): boolean => REACHED[reach].includes(placeOf(address));

const IN_WORDS: Readonly<Record<Place, string>> = {
  public: 'a public address',
  private: 'an address of a private network',
  loopback: 'the worker’s own host',
  never: 'a link-local address, one of cloud metadata, or no host’s address',
};

function refused(found: LookupAddress | undefined, reach: Reach): HoldfastError {
  const { address = 'none' } = found ?? {};
  const place = placeOf(address);
  return permanent(
    'WEBHOOK_ADDRESS_REFUSED',
    `the webhook was not called: its host is ${address}, ${IN_WORDS[place]}, and the plan’s \`reach\` is \`${reach}\``,
    place === 'loopback' || place === 'private'
      ? `If the receiver is meant to be there, write \`reach: ${place}\` beside it in the plan, and apply it.`
      : 'Name a receiver at another address: these are never called.',
  );
}
