# The README: its SQL prints what it says, and its reference has every function, setting, table and fact there is, in the
# words of their COMMENT ON.
#
# Each ```sql block is run, in order, in one session; where a ``` block follows, that is what it has to print (trailing
# spaces do not count).  What cannot be run has another fence.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $readme = slurp_file("$FindBin::RealBin/../../README.md");
my $node = gov_node(
	'readme',
	extension => 0,
	init => { extra => [ '--locale=C', '--encoding=UTF8' ] },
	conf => "timezone = 'UTC'\nwal_level = logical");

# No minute, day or month may pass between two blocks: start the engine's clock at noon in the middle of next month.
my $seconds = $node->safe_psql('postgres',
	q{select floor(extract(epoch from date_trunc('month', now()) + interval '1 month 14 days 12 hours' - now()))});

$node->safe_psql('postgres', "alter system set governance.clock_offset = '${seconds}s'");
$node->restart;

# ---------------------------------------------------------------- the SQL

sub trimmed
{
	my ($text) = @_;

	$text =~ s/[ \t]+$//gm;
	$text =~ s/\A\n+|\n+\z//g;
	return $text;
}

my @blocks;

while ($readme =~ /^```sql\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?/gms)
{
	my ($sql, $printed) = ($1, $2);
	my $line = 1 + (substr($readme, 0, $-[0]) =~ tr/\n//);

	push @blocks, { line => $line, sql => $sql, printed => $printed };
}
cmp_ok(scalar @blocks, '>', 20, 'the README has SQL');

my $script = join '', map { "\\echo \@\@$_->{line}\n$_->{sql}" } @blocks;
my $output = '';

IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('postgres') ],
	'<', \$script, '>&', \$output);
my %printed = $output =~ /^@@(\d+)\n(.*?)(?=^@@|\z)/gms;

foreach my $block (@blocks)
{
	my $got = trimmed($printed{ $block->{line} } // 'nothing: the session ended before');

	if (defined $block->{printed})
	{
		is($got, trimmed($block->{printed}), "the block at line $block->{line}");
	}
	else
	{
		unlike($got, qr/^ERROR:/m, "the block at line $block->{line} runs");
	}
}
is($node->safe_psql('postgres', 'select * from gov_verify()'),
	'', 'the counts equal the ledger');

# ---------------------------------------------------------------- the reference

# As running text: without marks, line breaks and capitals.
sub plain
{
	my ($text) = @_;

	$text =~ s/^- //gm;
	$text =~ s/[`]|\*\*//g;
	$text =~ s/\s+/ /g;
	return lc $text;
}

sub rows
{
	my ($sql) = @_;

	return split /\x1e/, $node->safe_psql('postgres', $sql,
		extra_params => [ '-F', "\x1f", '-R', "\x1e" ]);
}

my $plain = plain($readme);
my $members = q{
	pg_extension e
	join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and e.extname = 'governance'};

foreach my $function (rows(qq{
	select p.proname, obj_description(p.oid, 'pg_proc') from $members
	join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
	where p.proname !~ '^_' and p.prorettype <> 'trigger'::regtype order by 1}))
{
	my ($name, $comment) = split /\x1f/, $function;

	like($readme, qr/^#### $name$/m, "$name has a section");
	ok(index($plain, plain($comment)) >= 0, "$name: the README says what COMMENT ON says")
	  or diag $comment;
}

foreach my $column (rows(qq{
	select c.relname, a.attname, coalesce(col_description(c.oid, a.attnum), ''), obj_description(c.oid, 'pg_class') from $members
	join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and (c.relkind = 'r' or c.relname in ('gov_holds', 'gov_budgets', 'gov_allocations'))
	join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by c.relname, a.attnum}))
{
	my ($table, $name, $comment, $about) = split /\x1f/, $column;
	my ($section) = $readme =~ /^#### $table\n(.*?)(?=^#)/ms;

	ok( defined $section
		  && $section =~ /^\| `$name` \|/m
		  && index(plain($section), plain($comment)) >= 0
		  && index(plain($section), plain($about)) >= 0,
		"$table.$name: the README says what COMMENT ON says")
	  or diag $comment;
}

foreach my $setting (rows(q{
	select name, format('| `%s` | %s| %s | %s | %s |', name, unit || ' ',
		case
			when enumvals is not null then array_to_string(enumvals, ', ')
			when vartype = 'bool' then 'on, off'
			when vartype = 'string' then 'text'
			else min_val || ' to ' || max_val
		end,
		coalesce(nullif(boot_val, ''), 'empty'), context)
	from pg_settings where name like 'governance.%' order by name}))
{
	my ($name, $row) = split /\x1f/, $setting;

	ok($readme =~ /^\Q$row\E/m, "$name is in the table of settings as it is") or diag $row;
}
foreach my $fact (rows('select name from gov_stats'))
{
	like($readme, qr/`$fact`/, "the fact $fact is explained");
}

# What the functions raise is in the table of SQLSTATEs.
my %raised = map { $_ => 1 } map { /`([0-9A-Z]{5})`/g } $readme =~ /^- \*\*errors:\*\* (.*)$/mg;

foreach my $sqlstate (sort keys %raised)
{
	like($readme, qr/^\| `$sqlstate` \|/m, "$sqlstate is in the table of SQLSTATEs");
}

# Nothing is described that is not there, but for the list of what is still to come.
my ($present) = $readme =~ s/^## Not in this version yet\n.*?(?=^## )//msr;
my %known = map { $_ => 1 } rows(qq{
	select p.proname from $members join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
	union select c.relname from $members join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid});
my %unknown = map { $_ => 1 } grep { !$known{$_} } $present =~ /\bgov_\w+/g;

is(join(' ', sort keys %unknown), '', 'every name in the README exists');

$node->stop;
done_testing();
