"""Stock nbgrader, told where this course keeps its things. The commands are in book/instructors.md and in tools/exercises.py."""

import os
import sys

from nbgrader.converters import Autograde
from nbgrader.preprocessors import NbGraderPreprocessor, OverwriteCells

# nbgrader starts `alembic` by name: it stands beside this Python, whether or not the environment is activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
if os.path.exists("nbgrader_config.py"):  # started in the root of the course, as it should be
    os.makedirs(".grading", exist_ok=True)


class ForgetCopies(NbGraderPreprocessor):
    """A task that a student copied within the notebook: nbgrader keeps the last copy and empties the metadata of the others, over which it then stumbles."""

    def preprocess_cell(self, cell, resources, cell_index):
        if "nbgrader" in cell.metadata and not cell.metadata.nbgrader.get("grade_id"):
            del cell.metadata["nbgrader"]
        return cell, resources


c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "gensr"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.CourseDirectory.submitted_directory = ".grading/submitted"
c.CourseDirectory.autograded_directory = ".grading/autograded"
c.CourseDirectory.feedback_directory = ".grading/feedback"
c.CourseDirectory.db_url = "sqlite:///.grading/gradebook.db"
# nbgrader copies every other file of a source folder into the release: these hold the answers.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.md", "misconceptions.py"]

c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "*YOUR ANSWER HERE*"

c.ExecutePreprocessor.timeout = 60  # seconds a cell; a loop without an end is interrupted and its tests fail
c.OverwriteCells.add_missing_cells = True  # a deleted test comes back before it is marked
c.Autograde.sanitize_preprocessors = [part for p in Autograde.sanitize_preprocessors.default() for part in ([ForgetCopies, p] if p is OverwriteCells else [p])]

# nbgrader zip_collect: put the downloaded files, STUDENT_SLUG.ipynb (anything may stand between the two underscores), into .grading/downloaded/SLUG/archive/
c.ZipCollectApp.downloaded_directory = ".grading/downloaded"
c.ZipCollectApp.strict = True
c.FileNameCollectorPlugin.named_regexp = r".*[/\\](?P<student_id>[^/\\_]+)_(?:.*_)?(?P<file_id>[a-z0-9-]+)\.ipynb$"
