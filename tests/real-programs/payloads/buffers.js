'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { createHash } = require('crypto');
const { promisify } = require('util');
const zlib = require('zlib');

function generator(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}
const hash = (data) => createHash('sha256').update(data).digest('hex').slice(0, 24);

// Buffers outside V8's heap come from malloc (calloc for alloc, malloc for allocUnsafeSlow).
function churn(seed, rounds) {
  const below = generator(seed);
  const kept = new Array(500).fill(null);
  const sums = createHash('sha256');
  for (let i = 0; i < rounds; i++) {
    const size = 1 + below(i % 50 === 0 ? 400000 : 9000);
    const buffer = i % 2 ? Buffer.alloc(size) : Buffer.allocUnsafeSlow(size).fill(i & 255);
    if (i % 2 && buffer.some((byte) => byte !== 0)) throw new Error('Buffer.alloc gave dirty memory');
    buffer[below(size)] = i & 255;
    const at = below(kept.length);
    if (kept[at]) sums.update(kept[at].subarray(0, 64));
    kept[at] = buffer;
  }
  return sums.digest('hex').slice(0, 24);
}

if (!isMainThread) {
  const { seed } = workerData;
  parentPort.once('message', ({ given }) => {
    // `given` was allocated by the main thread and now belongs to this one; what it answers goes the other way.
    const answer = new Uint8Array(given.byteLength + 1000 * seed);
    answer.set(new Uint8Array(given).reverse());
    parentPort.postMessage({ seed, churn: churn(seed, 8000), given: hash(new Uint8Array(given)), answer }, [answer.buffer]);
  });
} else {
  main().catch((error) => {
    console.error(error);
    process.exit(1);
  });
}

async function main() {
  console.log('churn', churn(7, 15000));

  const below = generator(99);
  const records = Array.from({ length: 30000 }, (_, id) => ({
    id, name: 'n' + below(1e6).toString(36), tags: Array.from({ length: below(6) }, () => 't' + below(100)),
    nested: { a: below(1000) / 8, b: [below(2) === 1, null, 'é'.repeat(below(9))] },
  }));
  let text = JSON.stringify(records);
  for (let i = 0; i < 5; i++) text = JSON.stringify(JSON.parse(text), null, i);
  console.log('json', text.length, hash(text));

  const inputs = Array.from({ length: 12 }, (_, i) => Buffer.from(text.slice(i * 100000, i * 100000 + 400000)));
  const packed = await Promise.all(inputs.map((input, i) => promisify(i % 2 ? zlib.gzip : zlib.brotliCompress)(
    input, i % 2 ? {} : { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } })));
  const plain = await Promise.all(packed.map((data, i) => promisify(i % 2 ? zlib.gunzip : zlib.brotliDecompress)(data)));
  plain.forEach((data, i) => {
    if (!data.equals(inputs[i])) throw new Error(`compression lost bytes of input ${i}`);
  });
  console.log('packed', packed.map((data) => data.length).join(' '), hash(Buffer.concat(packed)));

  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all([1, 2, 3].map((seed) => new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: { seed } });
      const given = new Uint8Array(500000 + seed * 777).map((_, i) => (i * seed + round) & 255).buffer;
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.postMessage({ given }, [given]);
    })));
    for (const { seed, churn: sum, given, answer } of answers) {
      console.log('worker', round, seed, sum, given, answer.length, hash(answer));
    }
    global.gc();
  }
}
