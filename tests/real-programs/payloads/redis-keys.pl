# Prints redis commands, inline form, that build a known set of keys of every type, overwrite, shorten and delete some.
use strict;
use warnings;

my $count = $ARGV[0];
for my $i (0 .. $count - 1) {
    my $size = ($i * 2654435761 % 4093) >> ($i % 9);
    print "SET s:$i ", 'v' x (1 + $size), "\n";
    print "HSET h:", $i % 500, " f$i ", $i * 7, " g$i ", 'h' x ($i % 90 + 1), "\n";
    print "RPUSH l:", $i % 300, " ", 'l' x ($i % 200 + 1), " $i\n";
    print "SADD t:", $i % 200, " m$i ", $i * 3, "\n";
    print "ZADD z:", $i % 100, " ", $i * 37 % 1009, " member$i\n";
    print "APPEND s:", $i >> 1, " ", 'a' x ($i % 50 + 1), "\n" if $i % 3 == 0;
    print "SETRANGE s:", $i >> 2, " 3000 tail\n" if $i % 50 == 0;
    print "DEL s:", $i - 5, "\n" if $i % 7 == 5;
    print "UNLINK h:", $i % 500, "\n" if $i % 1500 == 1499;
    print "LTRIM l:", $i % 300, " 5 60\n" if $i % 11 == 0;
    print "XADD x:", $i % 20, " $i-1 field ", 'x' x ($i % 60 + 1), "\n";
}
