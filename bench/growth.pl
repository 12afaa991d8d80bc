# Run by bench/growth: what is printed goes to file descriptor 3, the notes of the test library to where it puts them.

use strict;
use warnings;

use IO::Handle;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;
use GovGrowth;
use GovLab;

my @scales = sort { $a <=> $b } split ' ', $ENV{GROWTH_SCALES};
my @labs = map { "lab_$_" } 1 .. @scales;
my %sizes = map { $labs[$_] => gov_lab_sizes($scales[$_]) } 0 .. $#labs;
my $start = time;
my ($node, $standby, %session, %standby_session);

open my $out, '>&=', 3 or die "no file descriptor 3: $!";
$out->autoflush(1);

sub say_line { printf $out "%s\n", join '', @_; return; }

# ---------------------------------------------------------------- the servers

sub build
{
	$node = gov_node('growth', init => { allows_streaming => 1 }, conf => <<CONF);
autovacuum = off
fsync = off
jit = off
shared_buffers = 2GB
work_mem = 64MB
maintenance_work_mem = 512MB
max_wal_size = 16GB
max_worker_processes = 0
governance.cache_size = '1GB'
CONF
	foreach my $lab (@labs)
	{
		my $since = time;
		gov_lab_build($node, $lab, $sizes{$lab});
		say_line(sprintf '%s: %s events of one owner, %s of others, %s budgets of one owner, %s in all, %s holds; built in %d s; %s MB, %s bytes of cache an entity',
			$lab, @{ $sizes{$lab} }{qw(events small budgets)},
			$node->safe_psql($lab, 'select count(*) from gov_assignments'), $sizes{$lab}{holds}, time - $since,
			$node->safe_psql($lab, 'select pg_database_size(current_database()) / 1024 / 1024'),
			$node->safe_psql($lab, q{select round((select value from gov_stats where name = 'cache_used_bytes') / nullif((select value from gov_stats where name = 'cache_nodes'), 0))}));
	}
	$node->backup('base');
	$standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	foreach my $lab (@labs)
	{
		$session{$lab} = $node->background_psql($lab, on_error_stop => 0);
		$standby_session{$lab} = $standby->background_psql($lab, on_error_stop => 0);
	}
	return;
}

# ---------------------------------------------------------------- what is printed

# How blocks grow with how many things there are.
sub law
{
	my ($operation, @costs) = @_;
	my ($before, $after) = @costs[ -2, -1 ];
	my $slack = $operation->{slack} // 12;

	return 'flat' if $after->{blocks} <= 1.25 * $costs[0]{blocks} + $slack;
	return 'grows' if $after->{count} == $before->{count} || $before->{blocks} == 0;
	my $exponent = log($after->{blocks} / $before->{blocks}) / log($after->{count} / $before->{count});
	my $each = ($after->{blocks} - $before->{blocks}) / ($after->{count} - $before->{count});
	return sprintf('linear, %.2g blk each', $each) if $exponent > 0.75 && $exponent < 1.25;
	return sprintf 'as n^%.1f', $exponent;
}

sub print_operation
{
	my ($operation, $owner, %option) = @_;
	my $sessions = $option{standby} ? \%standby_session : \%session;
	my @costs = map { gov_measure($sessions->{$_}, $operation, $owner, $sizes{$_}{$owner}, %option) } @labs;
	my $last = $costs[-1];
	my $most = gov_most_blocks($operation, $owner, $last, @costs > 1 ? $costs[-2] : undef, $#costs);
	my $judged = $last->{blocks} <= $most ? '' : "OVER $most";

	say_line(sprintf '  %-8s %-8s %-24s %-30s %8d rows %10.2f ms %8s kB WAL  %-22s %s',
		$owner, $option{standby} ? 'standby' : $operation->{cold} ? 'cold' : 'warm',
		join(' ', map { $_->{count} } @costs), join(' ', map { $_->{blocks} } @costs) . ' blk',
		$last->{rows}, $last->{ms}, int(($last->{wal} // 0) / 1024), law($operation, @costs), $judged);
	return;
}

sub print_all
{
	my %is_on = map { $_ => 1 } @_;

	$node->wait_for_catchup($standby);
	foreach my $operation (grep { $_->{name} =~ /$ENV{GROWTH_ONLY}/ } gov_operations())
	{
		my @owners = grep { $is_on{$_} } @{ $operation->{on} };

		say_line($operation->{name}) if @owners;
		foreach my $owner (@owners)
		{
			print_operation($operation, $owner);
			$node->wait_for_catchup($standby) if defined $operation->{ready};
			print_operation($operation, $owner, standby => 1) if $operation->{standby};
		}
	}
	return;
}

sub verify
{
	my ($when) = @_;

	foreach my $lab (@labs)
	{
		my $differences = $node->safe_psql($lab, 'select count(*) from gov_verify()');
		say_line("gov_verify, $when, $lab: $differences differences");
		fail("gov_verify $when, $lab") if $differences ne '0';
	}
	return;
}

# ---------------------------------------------------------------- all of it

build();
say_line('');
say_line('By owner: how many things an operation works on, or stands beside, at each size; the blocks it takes; at the largest size rows, time and WAL; how blocks grow.');
say_line('');
print_all(qw(small events budgets holds windows alerts));
verify('all rolled up');
say_line('');
say_line('Beside and behind a tail that an idle transaction keeps from being rolled up:');
say_line('');
my @idle = map { gov_lab_tail($node, $_, $sizes{$_}) } @labs;
print_all(qw(beside tail));
verify('with a tail');
$_->quit foreach @idle;
foreach my $lab (@labs)
{
	my $since = time;
	gov_lab_roll_up($node, $lab);
	say_line(sprintf '%s: the tail rolled up in %d s', $lab, time - $since);
}
verify('the tail rolled up');
say_line(sprintf '%d s in all', time - $start);
$_->quit foreach values %session, values %standby_session;
pass('ran');
$standby->stop;
$node->stop;
done_testing();
