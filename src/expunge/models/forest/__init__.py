"""The canonical random forest: learner, model, trees."""
