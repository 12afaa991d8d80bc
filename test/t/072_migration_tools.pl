# A migration tool that compares models with the database leaves the extension alone: where docs/migration-tools.md says so by itself,
# elsewhere with the setting that it names.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

# Debian's python has Debian's modules.
my $python = '/usr/bin/python3';
my ($out, $err) = ('', '');
plan skip_all => 'no alembic and psycopg2 (Debian: alembic python3-psycopg2)'
  unless eval { IPC::Run::run([ $python, '-c', 'import alembic, psycopg2' ], '<', \undef, '>', \$out, '2>', \$err) };

my $node = gov_node('tools', extension => 0);
my ($include_name) = slurp_file("$FindBin::RealBin/../../docs/migration-tools.md") =~ /^(def include_name.*?)^\n/ms;

ok(defined $include_name, 'the document has the setting');
foreach my $db ('own', 'shared')
{
	$node->safe_psql('postgres', "create database $db");
	$node->safe_psql($db, 'create table users (id int primary key)');
}
$node->safe_psql('own', 'create schema governance; create extension governance schema governance');
$node->safe_psql('shared', 'create extension governance');

# What autogenerate would do to a database whose models have the table users.
sub changes
{
	my ($db, $options) = @_;
	my ($out, $err) = ('', '');
	my $host = $node->host;
	my $port = $node->port;

	IPC::Run::run([ $python, '-c', <<PYTHON ], '<', \undef, '>', \$out, '2>', \$err) or die $err;
import warnings
warnings.simplefilter("ignore")
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

$include_name
models = sqlalchemy.MetaData()
sqlalchemy.Table("users", models, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True))
engine = sqlalchemy.create_engine("postgresql+psycopg2://\@/$db?host=$host&port=$port")
with engine.connect() as connection:
    for change in compare_metadata(MigrationContext.configure(connection, opts=$options), models):
        print(change[0], getattr(change[1], "name", ""))
PYTHON
	return $out;
}

is(changes('own', '{}'), '', 'Alembic leaves a schema of its own alone');
like(changes('own', '{"include_schemas": True}'), qr/^remove_table gov_events$/m, 'unless it is told to look at all of them');
is(changes('own', '{"include_schemas": True, "include_name": include_name}'), '', 'which the setting mends');
like(changes('shared', '{}'), qr/^remove_table gov_events$/m, 'in public it would drop the ledger');
is(changes('shared', '{"include_name": include_name}'), '', 'which the setting mends');
is(changes('shared', '{"include_schemas": True, "include_name": include_name}'), '', 'also where all schemas are compared');

$node->stop;
done_testing();
