import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import java.util.zip.*;

/** Work that reaches malloc from many of the JVM's threads; prints only what follows from the seeds. */
public class Churn {
    static long list(int seed) {
        Random random = new Random(seed);
        Map<Integer, List<String>> map = new TreeMap<>();
        for (int i = 0; i < 60_000; i++) {
            map.computeIfAbsent(random.nextInt(500), k -> new ArrayList<>()).add("s".repeat(random.nextInt(60)) + i);
            if (i % 100 == 0) map.remove(random.nextInt(500));
        }
        return map.values().stream().flatMap(List::stream).mapToLong(String::hashCode).sum();
    }

    /** Direct buffers are malloc and memset; dropped ones are freed by the reference handler's thread. */
    static long direct(int seed) {
        Random random = new Random(seed);
        ByteBuffer[] kept = new ByteBuffer[64];
        long sum = 0;
        for (int i = 0; i < 3000; i++) {
            int size = 8 + random.nextInt(i % 40 == 0 ? 300_000 : 4000);
            ByteBuffer buffer = ByteBuffer.allocateDirect(size);
            if (buffer.getLong(size - 8) != 0) throw new IllegalStateException("dirty direct buffer");
            buffer.putLong(0, i).put(size - 1, (byte) i);
            int at = random.nextInt(kept.length);
            if (kept[at] != null) sum = sum * 31 + kept[at].getLong(0) + kept[at].get(kept[at].capacity() - 1);
            kept[at] = buffer;
        }
        return sum;
    }

    static long zip(int seed) throws Exception {
        byte[] input = IntStream.range(0, 40_000).mapToObj(i -> Integer.toString(i * seed)).collect(Collectors.joining(" ")).getBytes();
        CRC32 crc = new CRC32();
        for (int level = 1; level <= 9; level += 4) {
            Deflater deflater = new Deflater(level);
            ByteArrayOutputStream packed = new ByteArrayOutputStream();
            try (DeflaterOutputStream out = new DeflaterOutputStream(packed, deflater)) {
                out.write(input);
            }
            deflater.end();
            crc.update(packed.toByteArray());
            byte[] back = new InflaterInputStream(new java.io.ByteArrayInputStream(packed.toByteArray())).readAllBytes();
            if (!Arrays.equals(back, input)) throw new IllegalStateException("zip lost bytes");
        }
        return crc.getValue();
    }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(6);
        List<Future<String>> results = new ArrayList<>();
        for (int i = 1; i <= 12; i++) {
            final int seed = i;
            results.add(pool.submit(() -> seed + " " + list(seed) + " " + direct(seed) + " " + zip(seed)));
        }
        for (Future<String> result : results) System.out.println(result.get());
        pool.shutdown();
        // Short-lived threads: each start and end allocates and frees in the JVM.
        long[] sums = new long[400];
        for (int i = 0; i < sums.length; i += 8) {
            Thread[] threads = new Thread[8];
            for (int k = 0; k < 8; k++) {
                final int number = i + k;
                threads[k] = new Thread(() -> sums[number] = String.join(",", Collections.nCopies(number, "x")).hashCode());
                threads[k].start();
            }
            for (Thread thread : threads) thread.join();
        }
        System.out.println("threads " + Arrays.stream(sums).sum());
    }
}
