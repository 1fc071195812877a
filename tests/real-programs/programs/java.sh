#!/bin/bash
# javac and java. The Java heap is the JVM's own; malloc serves the compiler threads, the collectors' tables, symbols,
# thread starts, direct buffers and zip. So: javac's class files, then one program under three collectors with several
# threads each, all of which must print the same.
set -u
# shellcheck source=../lib.sh
. "$(dirname "$0")/../lib.sh"

needs() { need_command javac default-jdk-headless; need_command java default-jre-headless; }

maps() {
    cat >Maps.java <<'END'
public class Maps {
    public static void main(String[] args) throws Exception {
        System.out.write(java.nio.file.Files.readAllBytes(java.nio.file.Path.of("/proc/self/maps")));
        System.out.flush();
    }
}
END
    under java -Xmx64m Maps.java
}

run() {
    local collector
    cp "$PAYLOADS/Churn.java" .
    under javac -J-Xmx256m -g -d classes Churn.java || die "javac failed"
    (cd classes && sha256sum -- *.class) >"$OUT/classes"
    for collector in "-XX:+UseG1GC -XX:ConcGCThreads=2" "-XX:+UseParallelGC" "-XX:+UseSerialGC"; do
        # shellcheck disable=SC2086  # several options in one string
        under java -Xms32m -Xmx192m -XX:ParallelGCThreads=4 $collector -cp classes Churn >"$OUT/answers.${collector%% *}" ||
            die "java $collector ended with status $?"
    done
    [ "$(cd "$OUT" && sha256sum answers* | cut -d' ' -f1 | sort -u | wc -l)" = 1 ] || die "collectors disagree"
}

program "$@"
