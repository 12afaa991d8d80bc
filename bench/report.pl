# Reads what bench/run measured (measure.sh says in which form) and writes DIRECTORY/results.md and DIRECTORY/plots/*.svg.

use strict;
use warnings;

my ($directory) = @ARGV;

my %TITLE = (
	gate => 'The gate',
	durable => 'The durable write',
	many => 'Many calls in one',
	first_use => 'First uses',
	budgets => 'Many budgets',
	chains => 'Long chains',
	meters => 'Several meters at once',
	pools => 'Pools and their grants',
	prices => 'Prices',
	cache => 'Cold, and a cache that is too small',
	restart => 'A restart with a tail',
	latency => 'Beside background work',
	query => 'Reports',
	lag => 'How far the rollup is behind',
	reads => 'What the warm path reads');

# What is printed of each contestant.
my %NAME = (
	select_1 => 'SELECT 1',
	gov_allowed => 'gov_allowed, 5 budgets',
	gov_check => 'gov_check, 5 budgets',
	bare_commit => 'a commit of one integer, no index',
	insert_1_index => 'INSERT of a row, one index',
	insert_events => 'INSERT of a row like gov_events, its indexes',
	gov_ingest => 'gov_ingest, 5 budgets',
	ingest_watched => 'gov_ingest, 5 budgets with 5 thresholds each',
	gov_consume => 'gov_consume, 5 budgets, one hot chain',
	consume_32_owners => 'gov_consume over 32 owners',
	consume_zipf => 'gov_consume over 9,000 agents under one root, zipf 1.07',
	counter_rows => 'INSERT and 5 counter rows in PL/pgSQL',
	redis_memory => 'Redis, a script of 5 counters, no disk',
	redis_fsync => 'Redis, the same, appendfsync always',
	limiter_redis => 'rate-limiter-flexible on Redis, 5 levels, no disk',
	limiter_postgres => 'rate-limiter-flexible on PostgreSQL, 5 levels',
	allowed_chain_32 => 'gov_allowed, 32 budgets in a chain of 32',
	allowed_20_budgets => 'gov_allowed, 20 budgets in a chain of 5',
	consume_chain_32 => 'gov_consume, 32 budgets in a chain of 32',
	consume_20_budgets => 'gov_consume, 20 budgets in a chain of 5',
	check_meters => 'gov_check_all, three capabilities with 5 budgets each',
	consume_meters => 'gov_consume_all, three capabilities with 5 budgets each',
	consume_apart => 'gov_consume of each of the three, in one transaction',
	check_plain => 'gov_check, 5 budgets',
	check_pool => 'the same, the last of them a pool with 3 grants',
	check_pool_256 => 'the same, the last of them a pool with 256 grants',
	consume_plain => 'gov_consume, 5 budgets',
	consume_pool => 'the same, the last of them a pool with 3 grants',
	consume_pool_256 => 'the same, the last of them a pool with 256 grants',
	check_all => 'gov_check_all, two capabilities with 5 budgets each',
	check_all_priced => 'the same, one of them by three quantities of 1,800 prices',
	consume_all => 'gov_consume_all, two capabilities with 5 budgets each',
	consume_all_priced => 'the same, one of them by three quantities of 1,800 prices, which the event keeps',
	consume_known => 'gov_consume of 100 users that were used before',
	consume_ready_made => 'gov_consume, each of a ready-made user not used before',
	consume_first_use => 'gov_consume, each of a user that it creates',
	consume_inserted => 'INSERT of a user, and gov_consume, in one transaction',
	select_20 => 'SELECT of 20 rows by an index, usage in a column',
	gov_query => 'gov_query, the first page of 10,000 budgets',
	query_crowded => 'the same beside those of other owners');

# Ratios that are wanted: section, ours, theirs, of what (calls a second or CPU), by clients or for all.
my @RATIOS = (
	[ 'gate', 'gov_allowed', 'select_1', 'calls', { all => '>= 0.93' } ],
	[ 'gate', 'gov_check', 'select_1', 'calls', { all => '>= 0.70' } ],
	[ 'durable', 'gov_consume', 'bare_commit', 'calls', { all => '>= 0.80' } ],
	[ 'durable', 'gov_consume', 'insert_1_index', 'calls', { all => '>= 0.85' } ],
	[ 'durable', 'gov_consume', 'insert_1_index', 'CPU', { 8 => '<= 1.3', 32 => '<= 1.3' } ],
	[ 'durable', 'consume_zipf', 'insert_1_index', 'CPU', { 8 => '<= 1.3', 32 => '<= 1.3' } ],
	[ 'durable', 'gov_consume', 'redis_fsync', 'calls', { 1 => '>= 1.0', 8 => '>= 1.0' } ],
	[ 'durable', 'bare_commit', 'redis_fsync', 'calls', {} ],
	[ 'durable', 'gov_consume', 'redis_memory', 'calls', {} ],
	[ 'durable', 'gov_consume', 'limiter_redis', 'calls', {} ],
	[ 'durable', 'gov_consume', 'limiter_postgres', 'calls', {} ],
	[ 'durable', 'gov_consume', 'counter_rows', 'calls', { 8 => '>= 5', 32 => '>= 15' } ],
	[ 'durable', 'gov_ingest', 'insert_events', 'calls', { all => '>= 0.85' } ],
	[ 'first_use', 'consume_first_use', 'consume_ready_made', 'calls', { all => '>= 0.5' } ],
	[ 'first_use', 'consume_first_use', 'consume_inserted', 'calls', { all => '>= 1.5' } ],
	[ 'durable', 'ingest_watched', 'gov_ingest', 'calls', { all => '>= 0.95' } ],
	[ 'durable', 'gov_consume', 'consume_32_owners', 'calls', { 32 => '>= 0.90' } ],
	[ 'chains', 'allowed_chain_32', 'gov_allowed', 'calls', {} ],
	[ 'chains', 'consume_chain_32', 'gov_consume', 'calls', {} ],
	[ 'meters', 'gov_consume', 'consume_meters', 'calls', { all => '<= 1.6' } ],
	[ 'meters', 'consume_meters', 'gov_consume', 'CPU', {} ],
	[ 'meters', 'gov_check', 'check_meters', 'calls', {} ],
	[ 'meters', 'consume_meters', 'consume_apart', 'calls', {} ],
	[ 'pools', 'consume_pool', 'consume_plain', 'calls', { all => '>= 0.90' } ],
	[ 'pools', 'consume_pool', 'consume_plain', 'CPU', {} ],
	[ 'pools', 'consume_pool_256', 'consume_plain', 'calls', {} ],
	[ 'pools', 'check_pool', 'check_plain', 'CPU', {} ],
	[ 'pools', 'check_pool_256', 'check_plain', 'CPU', {} ],
	[ 'prices', 'check_all_priced', 'check_all', 'CPU', { all => '<= 1.3' } ],
	[ 'prices', 'consume_all_priced', 'consume_all', 'calls', { all => '>= 0.77' } ],
	[ 'prices', 'consume_all_priced', 'consume_all', 'CPU', { all => '<= 1.3' } ],
	[ 'query', 'gov_query', 'select_20', 'calls', { all => '>= 0.33' } ],
	[ 'query', 'query_crowded', 'gov_query', 'calls', { all => '>= 0.90' } ]);

# ---------------------------------------------------------------- what was measured

my (%run, %about, %facts, @sections, %contestants, %clients);

while (my $line = <STDIN>)
{
	chomp $line;
	my ($kind, $section, @rest) = split /\t/, $line;

	if ($kind ne 'run' && $kind ne 'fact')
	{
		$about{$kind} = $section;
		next;
	}
	push @sections, $section unless grep { $_ eq $section } @sections;
	if ($kind eq 'fact')
	{
		push @{ $facts{$section} }, \@rest;
		next;
	}
	my ($name, $clients, $round, $calls, $cpu) = @rest;
	push @{ $contestants{$section} }, $name unless grep { $_ eq $name } @{ $contestants{$section} };
	$clients{$section}{$clients} = 1;
	$run{$section}{$name}{$clients}{calls}[$round] = $calls;
	$run{$section}{$name}{$clients}{CPU}[$round] = $cpu;
}

sub median
{
	my @v = sort { $a <=> $b } grep { defined } @_;

	return @v % 2 ? $v[ @v / 2 ] : ($v[ @v / 2 - 1 ] + $v[ @v / 2 ]) / 2;
}

sub name { my ($id) = @_; return $NAME{$id} // $id =~ s/^(allowed|consume)_(\d+)$/gov_$1, $2 budgets, any of them/r; }

# ---------------------------------------------------------------- tables

my $md = "# Side by side\n\nWritten by `make bench`, in one run: $about{machine}; $about{method}; $about{peers}.\n"
  . "PostgreSQL over a unix socket (pgbench, prepared statements, its default durability), Redis over loopback without pipelining (redis-benchmark), "
  . "rate-limiter-flexible from one node process. CPU is that of the server's processes per call, what is left to roll up afterwards included; "
  . "it is steadier than throughput on a machine that others use.\n";

sub measured_table
{
	my ($section) = @_;
	my @clients = sort { $a <=> $b } keys %{ $clients{$section} };
	my $table = '| |' . join('', map { " $_ " . ($_ == 1 ? 'client' : 'clients') . ', calls/s | CPU µs |' } @clients) . "\n| --- |" . ' ---: | ---: |' x @clients . "\n";

	foreach my $name (@{ $contestants{$section} })
	{
		$table .= '| ' . name($name) . ' |';
		foreach my $c (@clients)
		{
			my $r = $run{$section}{$name}{$c};
			$table .= $r ? sprintf(' %.0f | %.1f |', median(@{ $r->{calls} }), median(@{ $r->{CPU} })) : ' | |';
		}
		$table .= "\n";
	}
	return $table;
}

sub verdict
{
	my ($value, $wanted) = @_;
	my ($sign, $bound) = $wanted =~ /(>=|<=|at most) *([0-9.]+)/ or return '';

	return '' unless $value =~ /^[0-9.]+$/;
	return ($sign eq '>=' ? $value >= $bound : $value <= $bound) ? 'yes' : 'no';
}

sub ratio_table
{
	my ($section) = @_;
	my $rows = '';

	foreach my $ratio (grep { $_->[0] eq $section } @RATIOS)
	{
		my (undef, $ours, $theirs, $what, $wanted) = @$ratio;
		foreach my $c (sort { $a <=> $b } keys %{ $clients{$section} })
		{
			my ($one, $other) = map { $run{$section}{$_}{$c}{$what} } $ours, $theirs;
			next unless $one && $other;
			my @r = map { $one->[$_] / $other->[$_] } grep { $other->[$_] > 0 } 0 .. $#$one;
			next unless @r;
			my $goal = $wanted->{$c} // $wanted->{all} // '';
			my $value = sprintf '%.2f', median(@r);
			my ($least, $most) = (sort { $a <=> $b } @r)[ 0, -1 ];
			$rows .= sprintf "| %s : %s | %s | %d | %s | %.2f – %.2f | %s | %s |\n", name($ours), name($theirs), $what eq 'CPU' ? 'CPU' : 'calls/s', $c, $value,
			  $least, $most, $goal, verdict($value, $goal);
		}
	}
	return $rows eq '' ? '' : "| ratio | of | clients | median | least – most | wanted | met |\n| --- | --- | ---: | ---: | --- | --- | --- |\n$rows";
}

sub fact_table
{
	my ($section) = @_;
	my $rows = join '', map { sprintf "| %s | %s | %s | %s |\n", $_->[0], $_->[1], $_->[2] // '', verdict($_->[1], $_->[2] // '') } @{ $facts{$section} // [] };

	return $rows eq '' ? '' : "| | | wanted | met |\n| --- | ---: | --- | --- |\n$rows";
}

# ---------------------------------------------------------------- plots

sub escaped { my ($text) = @_; $text =~ s/&/&amp;/g; $text =~ s/</&lt;/g; return $text; }

# Horizontal bars, a group for each contestant, one bar for each number of clients.
sub plot
{
	my ($section, $what, $title) = @_;
	my @clients = sort { $a <=> $b } keys %{ $clients{$section} };
	my @colours = ('#9ecae1', '#4292c6', '#084594', '#08306b');
	my ($left, $width, $bar, $gap) = (330, 430, 13, 9);
	my $most = 0;
	my ($svg, $y) = ('', 60);

	foreach my $name (@{ $contestants{$section} })
	{
		$_ > $most and $most = $_ foreach map { median(@{ $run{$section}{$name}{$_}{$what} }) } grep { $run{$section}{$name}{$_} } @clients;
	}
	$most ||= 1;
	foreach my $name (@{ $contestants{$section} })
	{
		$svg .= sprintf qq{<text x="%d" y="%.1f" text-anchor="end">%s</text>\n}, $left - 8, $y + @clients * $bar / 2 + 4, escaped(name($name));
		foreach my $i (0 .. $#clients)
		{
			my $r = $run{$section}{$name}{ $clients[$i] } or next;
			my $value = median(@{ $r->{$what} });
			my $length = $width * ($value > 0 ? $value : 0) / $most;
			$svg .= sprintf qq{<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%.1f" class="value">%s</text>\n},
			  $left, $y, $length, $bar - 1, $colours[ $i % @colours ], $left + $length + 4, $y + $bar - 3, sprintf($what eq 'CPU' ? '%.1f' : '%.0f', $value);
			$y += $bar;
		}
		$y += $gap;
	}
	my $legend = join '', map { sprintf qq{<rect x="%d" y="32" width="12" height="12" fill="%s"/><text x="%d" y="42">%s</text>\n}, $left + 100 * $_, $colours[ $_ % @colours ],
		  $left + 100 * $_ + 16, $clients[$_] . ($clients[$_] == 1 ? ' client' : ' clients') } 0 .. $#clients;
	open my $file, '>', "$directory/plots/$section-$what.svg" or die "plots/$section-$what.svg: $!";
	printf $file qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">\n}
	  . qq{<style>.value { font-size: 10px; fill: #444 }</style><rect width="100%%" height="100%%" fill="white"/>\n}
	  . qq{<text x="%d" y="20" font-size="15">%s</text>\n%s%s</svg>\n}, $left + $width + 80, $y + 10, $left, escaped($title), $legend, $svg;
	close $file;
	return "![$title](plots/$section-$what.svg)\n";
}

# ---------------------------------------------------------------- all of it

foreach my $section (@sections)
{
	$md .= "\n## $TITLE{$section}\n";
	if ($contestants{$section})
	{
		$md .= "\n" . measured_table($section);
		if (@{ $contestants{$section} } > 2)
		{
			$md .= "\n" . plot($section, 'calls', "$TITLE{$section}: calls a second");
			$md .= plot($section, 'CPU', "$TITLE{$section}: CPU of the server, µs a call");
		}
	}
	foreach my $table (ratio_table($section), fact_table($section))
	{
		$md .= "\n$table" if $table ne '';
	}
}
open my $file, '>', "$directory/results.md" or die "$directory/results.md: $!";
print $file $md;
close $file;
