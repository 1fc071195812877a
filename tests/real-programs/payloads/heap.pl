use strict;
use warnings;
use Config;

my $state = 42;
sub next_below {
    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    return ($state >> 8) % $_[0];
}
sub checksum {
    my $sum = 0;
    $sum = ($sum * 31 + unpack '%32C*', $_) % 4294967291 for @_;
    return $sum;
}

# A hash of hashes of lists, grown and thinned out.
my %tree;
for my $i (1 .. 250_000) {
    push @{ $tree{ 'a' . next_below(500) }{ 'b' . next_below(200) } }, $i x (1 + $i % 3);
    delete $tree{ 'a' . next_below(500) } if $i % 1000 == 0;
}
my @lines;
for my $outer (sort keys %tree) {
    push @lines, "$outer $_ " . join ',', @{ $tree{$outer}{$_} } for sort keys %{ $tree{$outer} };
}
print 'tree ', scalar(@lines), ' ', checksum(@lines), "\n";

# Text of many lengths, matched, substituted, split, joined and sorted.
my $text = join ' ', map { join '', map { chr 97 + next_below(26) } 0 .. next_below(12) } 1 .. 120_000;
my %seen;
$seen{$1}++ while $text =~ /\b([aeiou]\w{2,5})\b/g;
print "$_ $seen{$_}\n" for (sort { $seen{$b} <=> $seen{$a} || $a cmp $b } keys %seen)[0 .. 29];
(my $changed = $text) =~ s/(\w)(\w+?)([aeiou])/\u$3$2$1/g;
print 'changed ', length $changed, ' ', checksum($changed), "\n";
my @sorted = sort { length $a <=> length $b || reverse($a) cmp reverse($b) } split / /, $text;
print 'sorted ', scalar(@sorted), ' ', checksum(@sorted), "\n";

# Strings that grow by realloc, to 16 MiB and back.
my $grown = '';
$grown .= chr(33 + $_ % 90) x ($_ % 200) for 1 .. 160_000;
print 'grown ', length $grown, ' ', checksum($grown), "\n";
substr($grown, next_below(length($grown) - 2000), 1000, 'x' x next_below(1500)) for 1 .. 200;
print 'spliced ', length $grown, ' ', checksum($grown), "\n";
undef $grown;

# Children of a large heap free what their parent made.
for my $child (1 .. 4) {
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if (!$pid) {
        my $count = grep { next_below(3) == 0 && delete $tree{$_} } sort keys %tree;
        my @more = map { 'c' x ($_ % 300) } 1 .. 20_000;
        print "child $child $count ", checksum(@more), "\n";
        exit 0;
    }
    print <$pipe>;
    close $pipe or die "child $child ended with status $?";
}

# Threads: each is given a copy of the interpreter, and returns a list that the main thread frees.
if ($Config{useithreads}) {
    require threads;
    for my $round (1 .. 3) {
        my @threads = map {
            my $number = $_;
            threads->create({ context => 'list' }, sub { map { "$number-$_-" . 'y' x ($_ % 70) } 1 .. 20_000 })
        } 1 .. 3;
        print "round $round ", join(' ', map { checksum($_->join) } @threads), "\n";
    }
}
